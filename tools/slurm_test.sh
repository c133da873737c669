#!/usr/bin/env bash
# Test on a Slurm cluster, one task for each GPU.
set -euo pipefail

# shellcheck source=tools/srun.sh
source "$(dirname "${BASH_SOURCE[0]}")/srun.sh"
if [[ $# -lt 4 ]]; then
    usage "tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test.py]"
fi
partition=$1 job_name=$2 config=$3 checkpoint=$4
shift 4
run_tool "$partition" "$job_name" \
    test.py "$config" "$checkpoint" --launcher=slurm "$@"
