#!/usr/bin/env bash
#
# Make .venv in the repository root or bring it up to date, with the versions of
# constraints.txt. Where nothing has changed since the last time it does nothing.
#
#   tools/dev/setup_env.sh lite    classification and the demo; compiles nothing
#   tools/dev/setup_env.sh full    detection, tests, lint, site; compiles mmcv once
#
# Environment variables:
#   PYTHON          interpreter to start from, 3.10 to 3.12 [the first one on PATH]
#   PCKD_MM_CACHE   folder that keeps the compiled mmcv [~/.cache/pckd_mm]
#   MAX_JOBS        compilers at the same time [number of cores]
#   MMCV_PACKAGE    distribution that mmcv is compiled from (full) [mmcv]
#   FORCE_CUDA=1    compile mmcv's operators for GPUs too (full; needs torch's nvcc)
#
# On a system without a desktop opencv-python lacks libGL.so.1 and libglib-2.0.so.0;
# Debian and Ubuntu have them in the packages libgl1 and libglib2.0-0.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PIP_DISABLE_PIP_VERSION_CHECK=1

python=.venv/bin/python
mmcv=${MMCV_PACKAGE:-mmcv}
stamp=.venv/.setup_env
doing=""
build_folder=""

fail() {
    # A step's line has no end yet.
    if [[ -n $doing ]]; then printf '\n' >&2; fi
    doing=""
    printf 'setup_env: %s\n' "$*" >&2
    exit 1
}

clean_up() {
    local status=$?
    if [[ -n $build_folder ]]; then rm -rf "$build_folder"; fi
    if [[ $status -ne 0 && -n $doing ]]; then
        printf '\nsetup_env: failed at: %s\n' "$doing" >&2
    fi
}
trap clean_up EXIT

# step LABEL COMMAND...: one line for each step, with the seconds that it took.
step() {
    local start=$SECONDS
    doing=$1
    printf '%s ... ' "$doing"
    shift
    "$@"
    doing=""
    printf '%ds\n' $((SECONDS - start))
}

pip_install() {
    "$python" -m pip install -qq -c constraints.txt "$@"
}

# ---------------------------------------------------------------- interpreter

# The "X.Y" of an interpreter that runs.
version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

is_supported() {
    case "$(version_of "$1")" in
        3.10 | 3.11 | 3.12) return 0 ;;
        *) return 1 ;;
    esac
}

find_interpreter() {
    local candidate
    if [[ -n ${PYTHON:-} ]]; then
        is_supported "$PYTHON" ||
            fail "PYTHON=$PYTHON is no Python 3.10, 3.11 or 3.12 that runs"
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.12 python3.11 python3.10 python; do
        if is_supported "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "found no Python 3.10, 3.11 or 3.12 on PATH; install one or name it in PYTHON"
}

check_existing_venv() {
    [[ -n $(version_of "$python") ]] || return 0
    is_supported "$python" ||
        fail ".venv holds Python $(version_of "$python"), which is not one of 3.10" \
            "to 3.12; remove .venv and run this again"
    [[ -z ${PYTHON:-} || $(version_of "$PYTHON") == "$(version_of "$python")" ]] ||
        fail ".venv holds Python $(version_of "$python") and PYTHON=$PYTHON is" \
            "another version; remove .venv or unset PYTHON"
}

make_venv() {
    if [[ -n $(version_of "$python") ]]; then
        "$python" -m pip --version >/dev/null 2>&1 ||
            "$python" -m ensurepip >/dev/null
        return
    fi
    "$interpreter" -m venv --clear .venv >&2 ||
        fail "$interpreter cannot make a virtual environment; Debian and Ubuntu have" \
            "the missing part in the package python3-venv"
}

# ----------------------------------------------------------------------- stamp

# One line per level: a hash of everything that the content of .venv depends on. The
# folder belongs to it, since an editable install points there.
fingerprints() {
    "$python" - "$@" <<'EOF'
import hashlib
import os
import sys

content = [sys.version.encode(), os.getcwd().encode()]
for path in ("constraints.txt", "pyproject.toml", "setup.py", "tools/dev/setup_env.sh"):
    with open(path, "rb") as file:
        content.append(file.read())
for level in sys.argv[1:]:
    print(hashlib.sha256(b"\0".join([*content, level.encode()])).hexdigest())
EOF
}

is_up_to_date() {
    # Not grep -q: it may end before its input does, which pipefail takes as failure.
    [[ -f $stamp ]] && fingerprints "$@" | grep -xF -f "$stamp" >/dev/null
}

# ------------------------------------------------------------------------ mmcv

# Whether a distribution is in .venv.
has() {
    "$python" -c 'import importlib.metadata as m, sys; m.version(sys.argv[1])' "$1" \
        2>/dev/null
}

# Never mmcv beside mmcv-lite: both own the folder mmcv/, so neither is whole then.
remove_mmcv() {
    "$python" -m pip uninstall -qq -y "$mmcv" mmcv mmcv-lite
}

cache_folder() {
    echo "${PCKD_MM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pckd_mm}/wheels"
}

# Compiled code fits one torch, one Python and the kind of device it is made for.
wheel_folder() {
    "$python" - "$(cache_folder)" "$1" <<'EOF'
import sys

import torch

cache, level = sys.argv[1:]
kind = "-cuda" if level == "full-cuda" else ""
python = "cp%d%d" % sys.version_info[:2]
print(f"{cache}/torch-{torch.__version__}-{python}{kind}")
EOF
}

# The wheel in a folder, or nothing.
wheel_in() {
    if [[ -d $1 ]]; then
        find "$1" -maxdepth 1 -name "${mmcv//-/_}-*.whl" | sort | tail -n 1
    fi
}

check_compiler() {
    local compiler=${CXX:-c++}
    command -v "${compiler%% *}" >/dev/null ||
        fail "compiling mmcv needs a C++ compiler, and there is no ${compiler%% *};" \
            "install g++ or name a compiler in CXX"
    "$1" -c 'import os, sys, sysconfig
path = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(not os.path.isfile(path))' ||
        fail "compiling mmcv needs Python's headers, and there is no Python.h; Debian" \
            "and Ubuntu have it in the package python3-dev"
}

# Before anything is downloaded: a compiler, unless a wheel may lie in the cache.
check_compiler_early() {
    local pin wheel
    pin=$(sed -n 's/^torch==//p' constraints.txt)
    for wheel in "$(cache_folder)"/torch-"$pin"*/"${mmcv//-/_}"-*.whl; do
        if [[ -f $wheel ]]; then return; fi
    done
    check_compiler "$interpreter"
}

cores() {
    nproc 2>/dev/null || getconf _NPROCESSORS_ONLN
}

# A compiler that takes C++20 where C++17 is asked for, as mmcv does: the headers of newer
# torch need it.
compiler_of_cxx20() {
    printf '#!/usr/bin/env bash\nexec %s "${@/#-std=c++17/-std=c++20}"\n' \
        "${CXX:-c++}" >"$1"
    chmod +x "$1"
    echo "$1"
}

needs_cxx20() {
    "$python" -c 'import pathlib, sys, torch
header = pathlib.Path(torch.__file__).parent / "include/ATen/ATen.h"
sys.exit("C++20 or later" not in header.read_text())'
}

# build_mmcv FOLDER LEVEL. pip's own cache of wheels is not used: it does not know
# which torch a wheel was built for. A wheel that is not whole never gets its name.
# Without symbols for a debugger, which Python asks for and which take time and space.
build_mmcv() {
    mkdir -p "$1"
    build_folder=$(mktemp -d "$1/build.XXXXXX")
    local gpu=(CUDA_VISIBLE_DEVICES= FORCE_CUDA=0)
    if [[ $2 == full-cuda ]]; then gpu=(FORCE_CUDA=1); fi
    local -x CXX=${CXX:-c++}
    if needs_cxx20; then CXX=$(compiler_of_cxx20 "$build_folder/c++20"); fi
    env "${gpu[@]}" MMCV_WITH_OPS=1 MAX_JOBS="${MAX_JOBS:-$(cores)}" \
        CFLAGS="${CFLAGS:-} -g0" \
        "$python" -m pip wheel -qq -c constraints.txt --no-deps --no-build-isolation \
        --no-cache-dir --no-binary "$mmcv" -w "$build_folder" "$mmcv"
    mv "$build_folder"/*.whl "$1/"
    rm -rf "$build_folder"
    build_folder=""
}

# Not by default: nvcc may be missing, or of another CUDA version than torch's.
hint_at_gpu() {
    if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
        echo "mmcv's operators are compiled for the CPU: for detection on the GPU run" \
            "FORCE_CUDA=1 tools/dev/setup_env.sh full"
    fi
}

install_compiled_mmcv() {
    local folder wheel
    folder=$(wheel_folder "$1")
    wheel=$(wheel_in "$folder")
    if [[ -z $wheel ]]; then
        check_compiler "$python"
        step "compiling mmcv, once (some minutes)" build_mmcv "$folder" "$1"
        wheel=$(wheel_in "$folder")
    fi
    remove_mmcv
    step "compiled mmcv" "$python" -m pip install -qq --no-deps "$wheel"
}

# --------------------------------------------------------------------- install

check_imports() {
    local output
    if output=$("$python" -c "import cv2, pckd_mm, $1" 2>&1); then return; fi
    case "$output" in
        *libGL* | *libglib* | *libgthread*)
            fail "opencv-python lacks a library of the system (${output##*ImportError: });" \
                "Debian and Ubuntu have it in the packages libgl1 and libglib2.0-0"
            ;;
        *) fail "the environment does not work: $output" ;;
    esac
}

install_all() {
    step "virtual environment of Python $(version_of "$interpreter")" make_venv
    rm -f "$stamp"
    step "setuptools and wheel" pip_install "setuptools>=80,<82" wheel
    step "torch and torchvision" pip_install torch torchvision

    local extras imports="mmpretrain"
    if [[ $level == lite ]]; then
        if has "$mmcv" && has mmcv-lite; then remove_mmcv; fi
        # The compiled mmcv can do all that mmcv-lite can.
        if has "$mmcv"; then extras=demo; else extras=demo,lite; fi
    else
        step "build tools" pip_install ninja psutil
        install_compiled_mmcv "$level"
        extras=demo,detection,docs,export,scale,tests,trackers,zoo
        imports="mmcv.ops, mmdet"
    fi
    step "pckd_mm[$extras]" pip_install --no-build-isolation -e ".[$extras]"
    step "imports" check_imports "$imports"
    if [[ $level == full ]]; then hint_at_gpu; fi
    fingerprints "$level" >"$stamp"
}

# A level satisfies those after it.
levels=(full-cuda full lite)
case "${1:-}" in
    lite) level=lite accepted=("${levels[@]}") ;;
    full) level=full accepted=("${levels[@]:0:2}") ;;
    *)
        echo "usage: tools/dev/setup_env.sh {lite|full}" >&2
        exit 2
        ;;
esac
if [[ $level == full && ${FORCE_CUDA:-0} == 1 ]]; then
    level=full-cuda accepted=("${levels[@]:0:1}")
fi

check_existing_venv
if is_up_to_date "${accepted[@]}"; then exit 0; fi

if [[ -n $(version_of "$python") ]]; then
    interpreter=$python
else
    interpreter=$(find_interpreter)
fi
if [[ $level != lite ]]; then check_compiler_early; fi
install_all
echo "The environment is ready: .venv ($level, ${SECONDS}s)"
