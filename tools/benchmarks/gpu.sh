#!/usr/bin/env bash
#
# Fill the dashes of docs/speed.md and docs/results.md on a machine with a GPU:
#
#   tools/benchmarks/gpu.sh                     # all parts, those worth most first
#   tools/benchmarks/gpu.sh graphs detector     # some of them, by name
#   tools/benchmarks/gpu.sh --dry-run           # print the parts and their commands
#
# What is done is not done again; a part that was cut off goes on where it can. At the
# end it prints the one command that enters what was measured.
#
# Environment variables:
#   PYTHON     interpreter [.venv/bin/python, else python]
#   OUT        folder of the results [work_dirs/gpu]
#   SECONDS_A_PART  after which a part is cut off [570]

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

python=${PYTHON:-.venv/bin/python}
[[ -x $python || -n ${PYTHON:-} ]] || python=python
out=${OUT:-work_dirs/gpu}
limit=${SECONDS_A_PART:-570}
dry_run=false
wanted=()
for argument in "$@"; do
    case $argument in
        --dry-run) dry_run=true ;;
        -*) echo "gpu.sh: unknown option $argument; expected --dry-run or parts" >&2; exit 2 ;;
        *) wanted+=("$argument") ;;
    esac
done

if [[ ${#wanted[@]} != 0 ]]; then
    known=$(bash tools/benchmarks/gpu.sh --dry-run | cut -d : -f 1 | paste -s -d " ")
    for name in "${wanted[@]}"; do
        if [[ " $known " != *" $name "* ]]; then
            echo "gpu.sh: there is no part $name; expected one of $known" >&2
            exit 2
        fi
    done
fi
failed=()

is_wanted() {
    [[ ${#wanted[@]} == 0 ]] && return
    local name
    for name in "${wanted[@]}"; do [[ $name == "$1" ]] && return; done
    return 1
}

run() {  # NAME FILE COMMAND...: a part whose command prints JSON into the file, or none
    local name=$1 file=$2
    shift 2
    if $dry_run; then echo "$name: $*"; return; fi
    if [[ -n $file && -s $file ]]; then echo "$name: done before, $file"; return; fi
    echo "$name: $*"
    mkdir -p "$out"
    if [[ -n $file ]]; then
        # Some libraries print lines of their own when they are imported.
        timeout "$limit" "$@" | sed -n '/^{/p' > "$file.part" && mv "$file.part" "$file" \
            || failed+=("$name")
    else
        timeout --signal=TERM "$limit" "$@" || failed+=("$name")
    fi
}

speed() {  # NAME TOOL ARGUMENTS...
    local name=$1 tool=$2
    shift 2
    is_wanted "$name" || return 0
    run "$name" "$out/$name.json" "$python" "tools/benchmarks/$tool" "$@" --json
}

accuracy() {  # NAME ARGUMENTS...: compare.py trains what is not finished
    local name=$1
    shift
    is_wanted "$name" || return 0
    run "$name" "" "$python" tools/compare.py "$@" --work-dir "$out/$name"
}

fast=(--fast --amp)
graphs=("${fast[@]}" --compile reduce-overhead --data-on-device)
# The names are those of docs/speed_gpu.json.
speed graphs step.py "${graphs[@]}"
speed fast step.py "${fast[@]}"
speed plain step.py
speed detector detection_step.py configs/pckd/voc_frcnn_r101_r50.py
speed wide step.py --teacher resnet32x4 --student resnet8x4 "${graphs[@]}"
speed imagenet step.py --teacher resnet34 --student resnet18 --batch 32 "${fast[@]}" --workers 8
speed compiled step.py --fast --compile --data-on-device
speed contrast contrast.py --anchors 512 2048 65536
pair=(--pairs resnet20_resnet8_30e --seeds 0 1 2)
accuracy short --methods vanilla kd pckd "${pair[@]}"
accuracy short-fast --methods pckd "${pair[@]}" "${fast[@]}"
for pair in resnet56_resnet20 resnet32x4_resnet8x4 wrn_40_2_wrn_16_2; do
    accuracy "$pair" --methods vanilla kd pckd --pairs "$pair" --seeds 0
done

$dry_run && exit
echo "Enter what is there: $python tools/dev/write_results.py --add-gpu $out"
if [[ ${#failed[@]} != 0 ]]; then
    echo "not finished: ${failed[*]}; the same command goes on" >&2
    exit 1
fi
