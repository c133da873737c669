"""A training that is none: a curve with a known optimum."""

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict

from pckd_mm.analysis import read_curve
from pckd_mm.experiments.job import Job
from pckd_mm.experiments.settings import Settings

EPOCHS = 9
OPTIMUM = 80.0
# It is at these values, and falls with the squares of the distances in powers of two.
BEST = dict(weight=4.0, tau=2.0)
FIRST = dict(weight=0.5, tau=8.0)

PROGRAM = """
import json, pathlib, sys, time
folder, best, epochs, pause = pathlib.Path(sys.argv[1]), *map(float, sys.argv[2:])
if best == 0:
    sys.exit("weights that explode")

path = folder / "0" / "vis_data" / "scalars.json"
path.parent.mkdir(parents=True, exist_ok=True)
done = len(path.read_text().splitlines()) if path.exists() else 0
with open(folder / "starts", "a") as starts:
    starts.write(f"{done}\\n")
for epoch in range(done + 1, int(epochs) + 1):
    time.sleep(pause)
    with open(path, "a") as scalars:
        value = best * epoch / epochs / 100
        scalars.write(json.dumps({"step": epoch, "accuracy/top1": value}) + "\\n")
"""


def objective(values: Dict[str, float]) -> float:
    """What a trial reaches after its last epoch."""
    distance = sum(math.log2(values[name] / BEST[name]) ** 2 for name in BEST)
    return OPTIMUM / (1 + distance)


@dataclass(eq=False)
class ToyJob(Job):
    """Each epoch takes ``pause`` seconds; a weight above 100 fails."""

    folder: Path
    values: Dict[str, float]
    pause: float = 0.0
    epochs = EPOCHS
    settings = Settings(Path())

    def text(self):
        return repr(self.values)

    def command(self):
        best = objective(self.values) if self.values["weight"] <= 100 else 0
        options = map(str, [self.folder, best, self.epochs, self.pause])
        return ["-c", PROGRAM, *options]

    def curve(self):
        return {e: 100 * v for e, v in read_curve(self.folder).items()}

    def outcome(self):
        curve = self.curve()
        return str(curve[self.epochs]) if self.epochs in curve else None

    def __str__(self):
        return f"toy {self.folder.name}"


def make(folder: Path, pause: float, number: int, values: Dict[str, Any]) -> ToyJob:
    return ToyJob(folder / f"{number:03d}", values, pause)


def maker(folder: Path, pause: float = 0.0):
    """What a ledger makes its trials by."""
    return functools.partial(make, folder, pause)
