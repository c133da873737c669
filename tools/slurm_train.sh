#!/usr/bin/env bash
# Train on a Slurm cluster, one task for each GPU.
set -euo pipefail

# shellcheck source=tools/srun.sh
source "$(dirname "${BASH_SOURCE[0]}")/srun.sh"
if [[ $# -lt 4 ]]; then
    usage "tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]"
fi
partition=$1 job_name=$2 config=$3 work_dir=$4
shift 4
run_tool "$partition" "$job_name" \
    train.py "$config" --work-dir="$work_dir" --launcher=slurm "$@"
