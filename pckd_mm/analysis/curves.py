"""What a training run left in its work dir, read back."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterator, List, Union

from pckd_mm.utils.loss_terms import GRADIENT_COSINE, GRADIENT_SHARE, term_of

from .metric import TOP1, Metric

Curve = Dict[int, float]

# What the log of a validation has beside its metrics.
_NO_METRICS = ("data_time", "time", "step", "memory", "epoch", "iter")


def _json_lines(path: Path) -> Iterator[dict]:
    """The objects of a file with one JSON object in a line.

    A process that was killed leaves a line cut off, to which the next one may have
    added its own; such lines are left out.
    """
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record


def _scalars(work_dir: Union[str, Path]) -> Iterator[dict]:
    """What MMEngine's local visualizer wrote, start by start.

    Starts before one that began anew are of another training.
    """
    found = sorted(Path(work_dir).glob("*/vis_data/scalars.json"))
    anew = [k for k, path in enumerate(found) if _began_anew(path)]
    for path in found[anew[-1] if anew else 0 :]:
        yield from _json_lines(path)


def _began_anew(scalars: Path) -> bool:
    """Whether a start did not go on with what was there, as its config says."""
    config = scalars.with_name("config.py")
    if not config.is_file():
        return False
    text = config.read_text(encoding="utf-8", errors="replace")
    return re.search(r"^resume = True$", text, re.MULTILINE) is None


def read_curve(work_dir: Union[str, Path], key: str = TOP1.key) -> Dict[int, float]:
    """Read one scalar of a run, as MMEngine's local visualizer wrote it.

    Every start of a run has a folder of its own, named after the time. Where a step is
    in several, as after a run was cut off and resumed, the latest start counts.

    Args:
        work_dir (str | Path): Work dir of the run.
        key (str): Name of the scalar. Defaults to that of the top-1 accuracy.

    Returns:
        dict[int, float]: The scalar at each step, in the order of the steps; a metric
        of the validation has the epoch as its step. Empty where there is none.
    """
    curve, last = {}, 0
    for record in _scalars(work_dir):
        if "step" not in record:
            continue
        if "lr" in record:  # a step of the training
            last = int(record["step"])
        if key in record:
            # Loops of iterations have no epochs, and MMEngine writes a 0.
            curve[int(record["step"]) or last] = float(record[key])
    return dict(sorted(curve.items()))


def read_metric(work_dir: Union[str, Path], metric: Metric) -> Curve:
    """Read a metric of a run, in its unit.

    Args:
        work_dir (str | Path): Work dir of the run.
        metric (Metric): The metric.

    Returns:
        dict[int, float]: As :func:`read_curve` gives it, times the metric's factor.
    """
    curve = read_curve(work_dir, metric.key)
    return {step: metric.factor * value for step, value in curve.items()}


@dataclass
class LossCurves:
    """The losses of a run.

    Args:
        values (dict[str, dict[int, float]]): Each loss at the steps that were logged:
            the student's own ones together as 'student', and each of the distiller's.
        gradient (dict[str, dict[int, float]]): Share of each in the student's gradient
            at the steps where it was measured.
        cosines (dict[str, dict[int, float]]): Cosine of its gradient with that of the
            student's own losses there.
    """

    values: Dict[str, Curve] = field(default_factory=dict)
    gradient: Dict[str, Curve] = field(default_factory=dict)
    cosines: Dict[str, Curve] = field(default_factory=dict)

    def shares(self) -> Dict[str, Curve]:
        """The values as shares of their sum.

        Returns:
            dict[str, dict[int, float]]: Each loss at each step, in [0, 1].
        """
        shares: Dict[str, Curve] = {name: {} for name in self.values}
        steps = {step for curve in self.values.values() for step in curve}
        for step in sorted(steps):
            there = {n: max(c.get(step, 0.0), 0.0) for n, c in self.values.items()}
            total = sum(there.values())
            if 0 < total < float("inf"):
                for name, value in there.items():
                    shares[name][step] = value / total
        return shares


def read_losses(work_dir: Union[str, Path]) -> LossCurves:
    """Read the losses of a run, as MMEngine's local visualizer wrote them.

    Args:
        work_dir (str | Path): Work dir of the run.

    Returns:
        LossCurves: The losses; empty where none was logged.
    """
    found = LossCurves()
    measured = {GRADIENT_SHARE: found.gradient, GRADIENT_COSINE: found.cosines}
    for record in _scalars(work_dir):
        if "step" not in record:
            continue
        step = int(record["step"])
        values: Dict[str, float] = {}
        for key, value in record.items():
            for prefix, curves in measured.items():
                if key.startswith(prefix):
                    curves.setdefault(key[len(prefix) :], {})[step] = float(value)
            if (name := term_of(key)) is not None:
                values[name] = values.get(name, 0.0) + float(value)
        for name, value in values.items():
            found.values.setdefault(name, {})[step] = value
    for curves in (found.values, found.gradient, found.cosines):
        for name, curve in curves.items():
            curves[name] = dict(sorted(curve.items()))
    return found


def validation_keys(work_dir: Union[str, Path]) -> List[str]:
    """Names of the scalars that a run's validation gave.

    Args:
        work_dir (str | Path): Work dir of the run.

    Returns:
        list[str]: The names, in the order of the log.
    """
    found: Dict[str, None] = {}
    for record in _scalars(work_dir):
        if "lr" in record or "loss" in record:  # a step of the training
            continue
        found.update(dict.fromkeys(key for key in record if key not in _NO_METRICS))
    measured = (GRADIENT_SHARE, GRADIENT_COSINE)
    return [key for key in found if not key.startswith(measured)]


def read_epoch(work_dir: Union[str, Path]) -> int:
    """Read how far the training of a run has come.

    Args:
        work_dir (str | Path): Work dir of the run.

    Returns:
        int: The latest epoch, counted from 1, of which an iteration was logged; 0
        before any.
    """
    epochs = (int(record.get("epoch", 0)) for record in _scalars(work_dir))
    return max(epochs, default=0)


def read_preview(work_dir: Union[str, Path]) -> List[dict]:
    """Read what :class:`pckd_mm.engine.hooks.PreviewRecordHook` recorded.

    Args:
        work_dir (str | Path): Work dir of the run.

    Returns:
        list[dict]: ``epoch``, ``threshold``, ``share`` and ``histogram`` of each
        epoch, in their order; of an epoch that was repeated, the latest. Empty for a
        run without preview.
    """
    path = Path(work_dir) / "preview.jsonl"
    if not path.is_file():
        return []
    records = {record["epoch"]: record for record in _json_lines(path)}
    return [records[epoch] for epoch in sorted(records)]
