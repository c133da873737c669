"""Sides of boxes as distributions, of one-stage detectors that predict them so.

GFL's head gives for each side of a box a distribution over its distance from the place.
What localisation distillation (Zheng et al., CVPR 2022) compares are those of student
and teacher at the places that have an object.
"""

from typing import Any, Dict, Sequence

import torch
from mmdet.models.dense_heads import GFLHead
from mmdet.utils import reduce_mean
from mmengine.model import BaseModel
from torch import Tensor

from pckd_mm.models.distillers import PCKDDistiller

__all__ = ["fill_sides", "has_sides", "localise", "with_sides"]

# Source of the records that losses take, one row for each side of an instance's box.
SIDES = "box_sides"
# The record of how many there are, in the mean of all processes and at least one.
COUNT = "num_sides"
# The algorithm's own records: what the head gives on each level.
_MAPS = "dense_boxes"
_WHO = ("student", "teacher")


def with_sides(
    distiller: Dict[str, Any], student: BaseModel, teacher: BaseModel
) -> Dict[str, Any]:
    """Record the sides of boxes where a recorder asks for them.

    Args:
        distiller (dict): Its config, with recorders of ``source='box_sides'`` or none.
        student (BaseModel): A detector that is served.
        teacher (BaseModel): Another one.

    Returns:
        dict: The config with the algorithm's own recorders, or as it was.

    Raises:
        ValueError: For detectors without distributions, or with other ones.
    """
    asked = {who: dict(distiller.get(f"{who}_recorders") or {}) for who in _WHO}
    sources = [r.get("source") for own in asked.values() for r in own.values()]
    if SIDES not in sources:
        return distiller
    heads = {"student": student.bbox_head, "teacher": teacher.bbox_head}
    for who, head in heads.items():
        if not isinstance(head, GFLHead):
            raise ValueError(
                f"A recorder asks for {SIDES}, and the {who} has a "
                f"{type(head).__name__}, which predicts boxes as numbers; expected a "
                "GFLHead, whose sides are distributions: leave out loss_ld and the "
                "recorders of it."
            )
        for level in range(len(head.scales)):
            asked[who][f"{_MAPS}_{level}"] = dict(
                type="ModuleOutputs", source=f"bbox_head.scales.{level}"
            )
    bins = [head.reg_max for head in heads.values()]
    if bins[0] != bins[1]:
        raise ValueError(
            f"The student has reg_max={bins[0]} and the teacher reg_max={bins[1]}; "
            "expected the same, since their distributions are compared: set one in "
            "both heads."
        )
    asked["student"][COUNT] = dict(type="pckd_mm.Batch", source=COUNT)
    recorders = {f"{who}_recorders": own for who, own in asked.items()}
    return {**distiller, **recorders}


def has_sides(distiller: PCKDDistiller) -> bool:
    """Whether the sides of boxes are recorded.

    Args:
        distiller (PCKDDistiller): It, built of what :func:`with_sides` gives.
    """
    return COUNT in distiller.student_recorders.recorders


def localise(head: GFLHead, features: Sequence[Tensor]) -> None:
    """Run what leads to the sides of boxes, on all levels.

    Args:
        head (GFLHead): The head.
        features (Sequence[Tensor]): The levels of the pyramid.
    """
    for feature, scale in zip(features, head.scales, strict=True):
        for layer in head.reg_convs:
            feature = layer(feature)
        scale(head.gfl_reg(feature))


def fill_sides(distiller: PCKDDistiller, foreground: Tensor) -> None:
    """Let losses have the sides of the boxes of some instances.

    Args:
        distiller (PCKDDistiller): It, after a step of both networks.
        foreground (Tensor): Indices of n instances into the N * P of the batch.
    """
    for manager in (distiller.student_recorders, distiller.teacher_recorders):
        recorders = manager.recorders
        maps = [r.data_buffer[0] for n, r in recorders.items() if n.startswith(_MAPS)]
        # Each as (N, H, W, 4 * bins), so that rows are in the order of places.
        rows = torch.cat([x.movedim(1, 3).flatten(1, 2) for x in maps], dim=1)
        sides = rows.flatten(0, 1)[foreground].unflatten(1, (4, -1)).flatten(0, 1)
        for recorder in recorders.values():
            if recorder.source == SIDES:
                recorder.record(sides)
    count = reduce_mean(foreground.new_tensor(4.0 * len(foreground), dtype=torch.float))
    distiller.student_recorders.get_recorder(COUNT).record(count.clamp(min=1.0))
