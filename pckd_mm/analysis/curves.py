"""What a training run left in its work dir, read back."""

import json
from pathlib import Path
from typing import Dict, Iterator, List, Union

from .metric import TOP1


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
    """What MMEngine's local visualizer wrote, start by start."""
    for path in sorted(Path(work_dir).glob("*/vis_data/scalars.json")):
        yield from _json_lines(path)


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
    curve = {}
    for record in _scalars(work_dir):
        if key in record and "step" in record:
            curve[int(record["step"])] = float(record[key])
    return dict(sorted(curve.items()))


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
