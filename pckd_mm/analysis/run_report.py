"""The report of runs: what their logs have, and a look into their networks."""

import itertools
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .inspection import Inspected
from .methods import Table
from .metric import TOP1, validated_on
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
    tables, notes, pictures = [], [], []
    groups = [
        (metric, [run for run in runs if run.metric == metric])
        for metric in dict.fromkeys(run.metric for run in runs)
    ]
    for metric, group in groups:
        inspected = None
        if look:
            inspected, drawn, said = _look(group, folder, images)
            pictures += drawn
            notes += said
        methods = [run.method() for run in group]
        name = metric.name if len(groups) > 1 else ""
        on = validated_on(group[0].cfg)
        tables.append(
            Table(
                methods,
                name=name,
                metric=metric,
                inspected=inspected,
                images=on,
                of_seeds=False,
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
    runs: Sequence[TrainedRun], folder: Path, images: int
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
    try:
        if all(run.detects for run in trained):
            return None, _detections(trained, folder, images), said
        if runs[0].metric is TOP1:
            return *_inspect(trained), said
        reason = f"they are measured by {runs[0].metric.name}, not by top-1"
    except (ImportError, OSError, RuntimeError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    names = ", ".join(run.name for run in trained)
    return None, [], [*said, f"The networks of {names} are not looked into: {reason}"]


def _inspect(runs: Sequence[TrainedRun]) -> Tuple[Inspected, List[Picture]]:
    """A look into classifiers, with the teacher where they have one in common."""
    from .inspect_networks import inspect_networks

    networks: Dict[str, dict] = {}
    taught = [run for run in runs if run.distils and run.cfg.model.get("teacher_ckpt")]
    teachers = {run.cfg.model.teacher_ckpt: run for run in taught}
    teacher = None
    if len(teachers) == 1:
        teacher = next(n for n in _teacher_names() if n not in {r.name for r in runs})
        (run,) = teachers.values()
        networks[teacher] = dict(
            config=str(run.config),
            checkpoint=None,
            folder=str(run.folder),
            is_teacher=True,
        )
    for run in runs:
        networks[run.name] = dict(
            config=str(run.config),
            checkpoint=str(run.checkpoint),
            folder=str(run.folder),
        )
    return inspect_networks(dict(teacher=teacher, networks=networks)), []


def _teacher_names():
    yield "teacher"
    yield from (f"teacher {number}" for number in itertools.count(2))


def _detections(runs: Sequence[TrainedRun], folder: Path, images: int) -> List[Picture]:
    """What the detectors find in the first test images."""
    from .detections import detect, plot_detections

    networks = {run.name: (run.cfg, run.checkpoint) for run in runs}
    scenes = detect(networks, images, THRESHOLD)
    if not scenes:
        return []
    plot_detections(folder / DETECTIONS, scenes)
    return [detections_picture(DETECTIONS, scenes, THRESHOLD, "images of the test")]
