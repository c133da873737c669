"""From what a step recorded of a dense head to what losses take of its instances."""

from typing import Any, Callable, Dict, Optional, Sequence

from mmengine.model import BaseModel
from mmrazor.models.task_modules import RecorderManager
from torch import Tensor

from pckd_mm.models.distillers import PCKDDistiller
from pckd_mm.models.distillers.classifier_sources import HANDED_OVER
from pckd_mm.models.task_modules import BatchRecorder

from .dense_instances import Cells, DenseMaps
from .dense_networks import (
    classifying,
    head_and_family,
    levels_of,
    logits_of_places,
)

__all__ = [
    "CENTERS",
    "fill_classifier",
    "map_recorders",
    "recorded_maps",
    "release_maps",
]

# What enters and leaves the classifying convolutions, with the number of the
# convolution behind.
INPUTS = "dense_inputs"
OUTPUTS = "dense_outputs"
# Sources of recorders of the classifier, which have what is handed over.
FEATURE, LOGITS, CENTERS, BIAS = (
    f"{HANDED_OVER}Classifier{own}" for own in ("Feature", "Logits", "Centers", "Bias")
)


def map_recorders(model: BaseModel) -> Dict[str, dict]:
    """Configs of recorders of what the classifying convolutions see and give.

    Args:
        model (BaseModel): A detector that is served.
    """
    own: Dict[str, dict] = {}
    for number, source in enumerate(classifying(model)):
        own[f"{INPUTS}_{number}"] = dict(type="ModuleInputs", source=source)
        own[f"{OUTPUTS}_{number}"] = dict(type="ModuleOutputs", source=source)
    return own


def recorded_maps(who: str, model: BaseModel, manager: RecorderManager) -> DenseMaps:
    """What the convolutions of a network saw and gave in a step.

    Args:
        who (str): What the network is called in messages, such as ``'teacher'``.
        model (BaseModel): A detector that is served.
        manager (RecorderManager): Its recorders, with those of :func:`map_recorders`.

    Raises:
        RuntimeError: Where the head ran more than once, or not at all.
    """
    convs = list(classifying(model).values())
    inputs, outputs = (
        [
            call
            for number in range(len(convs))
            for call in manager.get_recorder(f"{name}_{number}").data_buffer
        ]
        for name in (INPUTS, OUTPUTS)
    )
    head = head_and_family(model)[0]
    levels = len(levels_of(head))
    if len(outputs) != levels:
        raise RuntimeError(
            f"The {who}'s head classified {len(outputs)} maps in this step; expected "
            f"one of each of its {levels} levels: take a detector that runs its head "
            "once."
        )
    logits = logits_of_places(model)
    return DenseMaps(
        [entered for entered, *_ in inputs],
        outputs,
        convs,
        logits,
        has_background=logits > head.num_classes,
    )


def release_maps(manager: RecorderManager) -> None:
    """Let go of whole maps, when what losses take of them has been read.

    Args:
        manager (RecorderManager): Recorders with those of :func:`map_recorders`.
    """
    for name, recorder in manager.recorders.items():
        if name.startswith((INPUTS, OUTPUTS)):
            recorder.reset_data_buffer()


def fill_classifier(
    distiller: PCKDDistiller,
    from_student: bool,
    maps: DenseMaps,
    cells: Sequence[Cells],
    foreground: Sequence[Cells],
) -> Tensor:
    """Let recorders of the classifier have what losses take of instances.

    Args:
        distiller (PCKDDistiller): It, after a step of both networks.
        from_student (bool): Whether for the student's recorders.
        maps (DenseMaps): Those of the network.
        cells (Sequence[Cells]): Where all instances are, the foreground first.
        foreground (Sequence[Cells]): Where those of the foreground are.

    Returns:
        Tensor: Logits of all instances, shape (n, C).
    """

    asked = distiller.taken(FEATURE, from_student)

    def feature(
        entry: int, of: Callable[[Sequence[Cells]], Tensor]
    ) -> Optional[Tensor]:
        """Of no instance that no loss takes: a patch is some thousand numbers."""
        taken = [
            taken
            for taken in asked
            if taken.get("data_idx") in (None, entry, entry - 2)  # of two entries
        ]
        if not taken:
            return None
        of_all = not all(own.get("foreground", False) for own in taken)
        return of(cells if of_all else foreground)

    values: Dict[str, Any] = {
        FEATURE: (feature(0, maps.patches), feature(1, maps.columns)),
        LOGITS: maps.logits(cells),
        CENTERS: maps.centers(),
        BIAS: maps.bias(),
    }
    who = "student" if from_student else "teacher"
    manager = getattr(distiller, f"{who}_recorders")
    for recorder in manager.recorders.values():
        if isinstance(recorder, BatchRecorder) and recorder.source in values:
            recorder.record(values[recorder.source])
    return values[LOGITS]
