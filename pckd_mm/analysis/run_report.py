"""The report of runs: what their logs have, and a look into their networks."""

import itertools
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from .inspection import FAULTS, Inspected, compared_with, reason_of
from .methods import Table, name_of_teacher
from .metric import validated_on
from .pictures import Picture, detections_picture
from .report import write_report
from .trained_runs import TrainedRun

__all__ = ["report_runs"]

DETECTIONS = "detections.png"
# Boxes of a lower score are not drawn.
THRESHOLD = 0.3


def report_runs(
    runs: Sequence[TrainedRun],
    folder: Path,
    command: str = "",
    look: bool = True,
    images: int = 4,
) -> str:
    """Write what runs did as ``report.html`` and ``report.md``.

    Args:
        runs (Sequence[TrainedRun]): The runs.
        folder (Path): Where to write.
        command (str): What was called.
        look (bool): Whether to run the networks as well. Defaults to True.
        images (int): Test images of detectors that are drawn. Defaults to 4.

    Returns:
        str: The tables, and what could not be done.

    Raises:
        ImportError: Where matplotlib is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables: List[Table] = []
    notes: List[str] = []
    pictures: List[Picture] = []
    groups: Dict[tuple, List[TrainedRun]] = {}
    for run in runs:
        key = (run.metric, validated_on(run.cfg), run.step, run.detects)
        groups.setdefault(key, []).append(run)
    for (metric, on, step, _), group in groups.items():
        inspected = None
        name = ""
        if len(groups) > 1:
            name = f"{metric.name} on {on}, {len(tables) + 1}"
        if look:
            inspected, drawn, said = _look(group, folder, images, len(tables))
            pictures += drawn
            notes += said
        tables.append(
            Table(
                [run.method() for run in group],
                name=name,
                metric=metric,
                inspected=inspected,
                images=on,
                of_seeds=False,
                step=step,
            )
        )
    facts: Dict[str, Any] = {"command": command} if command else {}
    for run in runs:
        last = run.checkpoint.name if run.checkpoint else "no checkpoint yet"
        facts[run.name] = f"{run.folder}, {last}"
    title = f"Report of {runs[0].name}" if len(runs) == 1 else "Report of runs"
    text = write_report(
        folder, title, tables, notes, facts, appendix=pictures, about="What is missing"
    )
    return "\n\n".join([text, *notes])


def _look(
    runs: Sequence[TrainedRun], folder: Path, images: int, number: int
) -> Tuple[Optional[Inspected], List[Picture], List[str]]:
    """What the networks of runs of one metric show, and why some show nothing."""
    trained = [run for run in runs if run.checkpoint is not None]
    said = [
        f"The network of {run.name} is not looked into: it has no checkpoint yet."
        for run in runs
        if run.checkpoint is None
    ]
    if not trained:
        return None, [], said
    if not trained[0].detects:
        inspected, notes = _inspect(trained)
        return inspected, [], [*said, *notes]
    file = f"detections_{number + 1}.png" if number else DETECTIONS
    try:
        return None, _detections(trained, folder / file, images), said
    except FAULTS as error:
        return None, [], [*said, _not_looked_into(trained, error)]


def _not_looked_into(runs: Sequence[TrainedRun], error: Exception) -> str:
    names = ", ".join(run.name for run in runs)
    return f"The networks of {names} are not looked into: {reason_of(error)}"


def _inspect(runs: Sequence[TrainedRun]) -> Tuple[Optional[Inspected], List[str]]:
    """A look into classifiers and their teachers, and who is left out of it."""
    from .inspect_networks import inspect_networks

    networks: Dict[str, Dict[str, Any]] = {
        run.name: dict(
            config=str(run.config),
            checkpoint=str(run.checkpoint),
            folder=str(run.folder),
        )
        for run in runs
    }
    unused = (name for name in _teacher_names() if name not in networks)
    teachers: Dict[str, Dict[str, Any]] = {}
    names: Dict[str, str] = {}  # of teachers, by their weights
    learns_from = {}
    for run in runs:
        own = name_of_teacher(run.cfg, str(run.config))
        if own not in names and run.distils and run.cfg.model.get("teacher_ckpt"):
            names[own] = next(unused)
            teachers[names[own]] = dict(
                networks[run.name], checkpoint=None, is_teacher=True
            )
        learns_from[run.name] = names.get(own, own)
    compared = compared_with(list(teachers), learns_from)
    everyone = dict(networks={**teachers, **networks}, teachers=compared)
    try:
        inspected, left_out = inspect_networks(everyone)
    except FAULTS as error:
        return None, [_not_looked_into(runs, error)]
    by_name = {name: own for own, name in names.items()}
    return inspected, [
        f"The teacher {by_name[name]} is left out: {reason}"
        if name in by_name
        else f"The network of {name} is not looked into: {reason}"
        for name, reason in left_out.items()
    ]


def _teacher_names() -> Iterator[str]:
    yield "teacher"
    yield from (f"teacher {number}" for number in itertools.count(2))


def _detections(runs: Sequence[TrainedRun], path: Path, images: int) -> List[Picture]:
    """What the detectors find in the first test images."""
    from .detections import detect, plot_detections

    networks = {
        run.name: (run.cfg, run.checkpoint)
        for run in runs
        if run.checkpoint is not None
    }
    scenes = detect(networks, images, THRESHOLD)
    if not scenes:
        return []
    plot_detections(path, scenes)
    return [detections_picture(path.name, scenes, THRESHOLD, "images of the test")]
