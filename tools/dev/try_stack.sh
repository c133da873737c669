#!/usr/bin/env bash
#
# Run all tests of the committed state in a fresh environment of other versions:
#
#   tools/dev/try_stack.sh NAME [arguments of pytest]
#
# NAME is a file of tools/dev/stacks: the Python, what differs from constraints.txt, and
# what the tests find in their environment ("# env NAME=VALUE").
# The outcome is printed; the log stays in work_dirs/stacks/NAME.log.
#
# Environment variables:
#   PYTHON     interpreter of the stack's version [pythonX.Y]
#   TMPDIR     where the clone and its .venv are made, and removed again [/tmp]
#   KEEP=1     leave them there
# and those of tools/dev/setup_env.sh.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

name=${1:-}
pins=$PWD/tools/dev/stacks/$name.txt
if [[ -z $name || ! -f $pins ]]; then
    echo "usage: tools/dev/try_stack.sh NAME [arguments of pytest]" >&2
    echo "NAME is one of:" tools/dev/stacks/*.txt | sed 's#tools/dev/stacks/##g; s#\.txt##g' >&2
    exit 2
fi
shift

version=$(sed -n 's/^# python //p' "$pins")
mapfile -t environment < <(sed -n 's/^# env //p' "$pins")
python=${PYTHON:-python$version}
found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' || true)
if [[ $found != "$version" ]]; then
    echo "try_stack: $name needs Python $version and $python is ${found:-none that" \
        "runs}; name one in PYTHON" >&2
    exit 1
fi

log=$PWD/work_dirs/stacks/$name.log
mkdir -p "${log%/*}"
folder=$(mktemp -d)
clean_up() {
    if [[ ${KEEP:-0} == 1 ]]; then echo "kept: $folder/main"; else rm -rf "$folder"; fi
}
trap clean_up EXIT
git clone -q . "$folder/main"
# Tests that need real data find it beside the repository, or skip.
if [[ -d ../shared ]]; then ln -s "$(realpath ../shared)" "$folder/shared"; fi
commit=$(git rev-parse --short HEAD)
cd "$folder/main"

# The clone's own requirements become those of the stack.
"$python" - "$pins" <<'EOF'
import re
import sys


def canonical(requirement):
    return re.match(r"[\w.-]+", requirement).group().lower().replace("_", "-")


pins, replaced = [], {}
for line in open(sys.argv[1]):
    pin, _, comment = line.strip().partition("#")
    if pin := pin.strip():
        pins.append(pin)
        replaced[canonical(pin)] = pin
        if comment.strip().startswith("replaces "):
            replaced[comment.split()[-1]] = pin

with open("constraints.txt") as file:
    kept = [
        line
        for line in file
        if line.startswith("#") or canonical(line) not in replaced
    ]
with open("constraints.txt", "w") as file:
    file.writelines([*kept, *(f"{pin}\n" for pin in pins)])

with open("pyproject.toml") as file:
    text = file.read()
for name, pin in replaced.items():
    text = re.sub(rf'"{name}(?![\w-])[^"]*"', f'"{pin}"', text)
with open("pyproject.toml", "w") as file:
    file.write(text)
EOF

mmcv=$(sed -n 's/^\([a-z-]*mmcv\)==.*/\1/p' constraints.txt | head -n 1)
start=$SECONDS
PYTHON=$python MMCV_PACKAGE=$mmcv tools/dev/setup_env.sh full 2>&1 | tee "$log"
installed=$SECONDS
env TORCHINDUCTOR_CACHE_DIR="$PWD/.inductor" "${environment[@]}" \
    .venv/bin/python -m pytest -n 2 -q "$@" >>"$log" 2>&1 || true

{
    echo "stack: $name, commit $commit"
    .venv/bin/python - <<'EOF'
import importlib.metadata as metadata
import platform

shown = [f"Python {platform.python_version()}"]
for part in ("torch", "torchvision", "numpy"):
    shown.append(f"{part} {metadata.version(part)}")
for part in ("mmengine", "mmcv", "mmpretrain", "mmdet", "mmrazor"):
    # The maintained line has other names.
    for name in (part, f"onedl-{part}", "onedl-mmdetection"):
        try:
            shown.append(f"{name} {metadata.version(name)}")
            break
        except metadata.PackageNotFoundError:
            pass
print("versions: " + ", ".join(shown))
EOF
    if [[ ${#environment[@]} -gt 0 ]]; then echo "environment: ${environment[*]}"; fi
    echo "tests: $(tail -n 1 "$log")"
    echo "installed in $((installed - start)) s, tested in $((SECONDS - installed)) s"
} | tee "$log.outcome"
grep -E '^(FAILED|ERROR) ' "$log" | tee -a "$log.outcome" || true
grep -qE '^[0-9]+ passed[^,]*(, [0-9]+ (skipped|warnings?|xfailed|xpassed|deselected))* in ' \
    <(tail -n 1 "$log")
