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

# shellcheck source=tools/torchrun.sh
source "$(dirname "${BASH_SOURCE[0]}")/torchrun.sh"
run_tool "$gpus" train.py "$config" "$@"
