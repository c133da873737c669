"""Sides of boxes as distributions, of one-stage detectors that predict them so.

GFL's head gives for each side of a box a distribution over its distance from the place.
What localisation distillation (Zheng et al., CVPR 2022) compares are those of student
and teacher at the places that have an object.
"""

from typing import Any, Dict, Sequence, Tuple

import torch
from mmdet.models.dense_heads import GFLHead
from mmengine.model import BaseModel
from torch import Tensor

from pckd_mm.models.distillers import PCKDDistiller

__all__ = ["fill_sides", "has_sides", "localise", "side_recorders"]

# Sources of the records that losses take, one row for each side of an instance's box:
# its distribution, and the student's highest score at its place.
SIDES = "box_sides"
WEIGHTS = "box_side_weights"
# The algorithm's own records: what the head gives on each level.
_MAPS = "dense_boxes"
_WHO = ("student", "teacher")


def side_recorders(
    distiller: Dict[str, Any], student: BaseModel, teacher: BaseModel
) -> Tuple[Dict[str, dict], Dict[str, dict]]:
    """Configs of recorders of the sides of boxes, where a recorder asks for them.

    Args:
        distiller (dict): Its config, with recorders of ``source='box_sides'`` or none.
        student (BaseModel): A detector that is served.
        teacher (BaseModel): Another one.

    Returns:
        tuple[dict, dict]: Those of student and teacher; empty where none asks.

    Raises:
        ValueError: For detectors without distributions, or with other ones.
    """
    recorders = [distiller.get(f"{who}_recorders") or {} for who in _WHO]
    sources = [r.get("source") for own in recorders for r in own.values()]
    if SIDES not in sources:
        return {}, {}
    heads = (student.bbox_head, teacher.bbox_head)
    for who, head in zip(_WHO, heads, strict=True):
        if not isinstance(head, GFLHead):
            raise ValueError(
                f"A recorder asks for {SIDES}, and the {who} has a "
                f"{type(head).__name__}, which predicts boxes as numbers; expected a "
                "GFLHead, whose sides are distributions: leave out loss_ld and the "
                "recorders of it."
            )
    if heads[0].reg_max != heads[1].reg_max:
        raise ValueError(
            f"The student has reg_max={heads[0].reg_max} and the teacher "
            f"reg_max={heads[1].reg_max}; expected the same, since their distributions "
            "are compared: set one in both heads."
        )
    of_student, of_teacher = (
        {
            f"{_MAPS}_{level}": dict(
                type="ModuleOutputs", source=f"bbox_head.scales.{level}"
            )
            for level in range(len(head.scales))
        }
        for head in heads
    )
    return of_student, of_teacher


def has_sides(distiller: PCKDDistiller) -> bool:
    """Whether the sides of boxes are recorded.

    Args:
        distiller (PCKDDistiller): It, with the recorders of :func:`side_recorders`.
    """
    return f"{_MAPS}_0" in distiller.student_recorders.recorders


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


def fill_sides(distiller: PCKDDistiller, foreground: Tensor, logits: Tensor) -> None:
    """Let losses have the sides of the boxes of some instances.

    Args:
        distiller (PCKDDistiller): It, after a step of both networks.
        foreground (Tensor): Indices of n instances into the N * P of the batch.
        logits (Tensor): The student's of these instances, shape (n, categories).
    """
    scores = logits.detach().float().sigmoid().amax(dim=1)
    for manager in (distiller.student_recorders, distiller.teacher_recorders):
        recorders = manager.recorders
        maps = [r.data_buffer[0] for n, r in recorders.items() if n.startswith(_MAPS)]
        # Each as (N, H, W, 4 * bins), so that rows are in the order of places.
        rows = torch.cat([x.movedim(1, 3).flatten(1, 2) for x in maps], dim=1)
        sides = rows.flatten(0, 1)[foreground].unflatten(1, (4, -1)).flatten(0, 1)
        # In single precision, as GFL itself takes them.
        found = {SIDES: sides.float(), WEIGHTS: scores.repeat_interleave(4)}
        for recorder in recorders.values():
            if recorder.source in found:
                recorder.record(found[recorder.source])
