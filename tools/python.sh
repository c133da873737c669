# Sourced by torchrun.sh and srun.sh: the folder above the tools, and their Python.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$root/.venv/bin/python
if [[ -n ${PYTHON:-} || ! -x $python ]]; then python=${PYTHON:-python}; fi
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
