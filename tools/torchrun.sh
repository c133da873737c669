# Sourced by dist_train.sh and dist_test.sh.

# shellcheck source=tools/python.sh
source "$(dirname "${BASH_SOURCE[0]}")/python.sh"

# run_tool GPUS TOOL [ARGUMENTS]: a tool of this folder, in a process for each GPU.
run_tool() {
    local gpus=$1 tool=$2 rendezvous
    shift 2

    if [[ ${NNODES:-1} -gt 1 ]]; then
        rendezvous=(
            --nnodes="$NNODES"
            --node_rank="${NODE_RANK:-0}"
            --master_addr="${MASTER_ADDR:?must be the address of machine 0, since \
NNODES is $NNODES}"
            --master_port="${PORT:-29500}"
        )
    elif [[ -n ${PORT:-} ]]; then
        rendezvous=(--master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="$PORT")
    else
        # torchrun itself takes a port: a free one that is looked up here could be
        # another run's by the time it is used.
        rendezvous=(--standalone)
    fi
    exec "$python" -m torch.distributed.run \
        "${rendezvous[@]}" --nproc_per_node="$gpus" \
        "$root/tools/$tool" --launcher=pytorch "$@"
}
