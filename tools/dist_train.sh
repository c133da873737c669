#!/usr/bin/env bash
# Train in several processes, one for each GPU (on a CPU-only machine: GPUS processes).
set -euo pipefail

if [[ $# -lt 2 ]]; then
    cat >&2 <<'EOF'
usage: tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
  GPUS         processes on this machine
Environment variables:
  NNODES       number of machines [1]
  NODE_RANK    number of this machine, from 0 [0]
  MASTER_ADDR  address of machine 0, needed where NNODES > 1 [127.0.0.1]
  PORT         port of machine 0 [a free one; 29500 where NNODES > 1]
  PYTHON       interpreter [.venv/bin/python if it is there, else python]
EOF
    exit 2
fi
config=$1 gpus=$2
shift 2

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$root/.venv/bin/python
if [[ -n ${PYTHON:-} || ! -x $python ]]; then python=${PYTHON:-python}; fi
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}

nodes=${NNODES:-1}
if [[ $nodes -gt 1 ]]; then
    : "${MASTER_ADDR:?must be the address of machine 0, since NNODES is $nodes}"
    port=${PORT:-29500}
else
    # Two runs can share the machine.
    port=${PORT:-$("$python" -c 'import socket
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])')}
fi

exec "$python" -m torch.distributed.run \
    --nnodes="$nodes" \
    --node_rank="${NODE_RANK:-0}" \
    --nproc_per_node="$gpus" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="$port" \
    "$root/tools/train.py" "$config" --launcher=pytorch "$@"
