"""A search over the toy, in a process of its own, with which all of Ray's end.

python tests/test_tuning/toy_search.py FOLDER COUNT PAUSE
"""

import json
import sys
from pathlib import Path

from pckd_mm.experiments.ray_cluster import RayCluster
from pckd_mm.tuning.search import search
from pckd_mm.tuning.space import Range
from pckd_mm.tuning.trials import Ledger
from tests.toy_job import EPOCHS, FIRST, maker

RANGES = [
    Range("weight", "a.weight", FIRST["weight"], 0.05, 50.0),
    Range("tau", "a.tau", FIRST["tau"], 1.0, 16.0),
]

if __name__ == "__main__":
    folder, count, pause = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    ledger = Ledger(folder / "trials", maker(folder / "trials", pause), dict(of="toy"))
    cluster = RayCluster(threads=1)
    try:
        search(
            ledger,
            RANGES,
            count,
            EPOCHS,
            cluster,
            tell=lambda trial, reason: print(trial.number, trial.state(), flush=True),
        )
    finally:
        cluster.leave()
    print(json.dumps([[t.values, t.value, t.state()] for t in ledger.trials()]))
