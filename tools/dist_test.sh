#!/usr/bin/env bash
# Test in several processes, one for each GPU (on a CPU-only machine: GPUS processes).
set -euo pipefail

if [[ $# -lt 3 ]]; then
    cat >&2 <<'EOF'
usage: tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]
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
config=$1 checkpoint=$2 gpus=$3
shift 3

# shellcheck source=tools/torchrun.sh
source "$(dirname "${BASH_SOURCE[0]}")/torchrun.sh"
run_tool "$gpus" test.py "$config" "$checkpoint" "$@"
