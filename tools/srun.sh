# Sourced by slurm_train.sh and slurm_test.sh: what both do.

# shellcheck source=tools/python.sh
source "$(dirname "${BASH_SOURCE[0]}")/python.sh"

usage() {
    cat >&2 <<EOF
usage: $1
Environment variables:
  GPUS           GPUs of all machines together [8]
  GPUS_PER_NODE  GPUs of one machine [GPUS, at most 8]
  CPUS_PER_TASK  CPU cores for each GPU [5]
  SRUN_ARGS      further arguments of srun, separated by spaces
  MASTER_PORT    port of the first machine [drawn at random]
  PYTHON         interpreter [.venv/bin/python if it is there, else python]
EOF
    exit 2
}

# Run a tool: PARTITION JOB_NAME TOOL [arguments].
run_tool() {
    local partition=$1 job_name=$2 tool=$3
    shift 3
    local gpus gpus_per_node srun_args
    gpus=${GPUS:-8}
    gpus_per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
    read -r -a srun_args <<<"${SRUN_ARGS:-}"
    # Two jobs can share a machine. The range is below the ports that systems hand out.
    export MASTER_PORT=${MASTER_PORT:-$((20000 + RANDOM % 10000))}

    # An empty array counts as unset in bash before 4.4.
    exec srun \
        --partition="$partition" \
        --job-name="$job_name" \
        --gres="gpu:$gpus_per_node" \
        --ntasks="$gpus" \
        --ntasks-per-node="$gpus_per_node" \
        --cpus-per-task="${CPUS_PER_TASK:-5}" \
        --kill-on-bad-exit=1 \
        ${srun_args[@]+"${srun_args[@]}"} \
        "$python" -u "$root/tools/$tool" "$@"
}
