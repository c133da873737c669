"""Scores of a one-stage detector: by what is distilled, and as it predicts them."""

from typing import Tuple

import torch
from mmdet.models import CenterNetHead, SOLOHead, TOODHead, YOLOFHead
from mmengine.model import BaseModel
from torch import Tensor

from pckd_mm.models.algorithms.dense_networks import head_and_family, logits_of_places

from .kinds import Kind
from .scores import distilled_logits


def compare(
    model: BaseModel, kind: Kind, role: str, data: dict
) -> Tuple[Tensor, Tensor]:
    """The logits of places that are distilled, and the nearest that are predicted.

    Heads whose scores have a second factor, the same for all categories of a place,
    are compared by the order of the categories.

    Args:
        model (BaseModel): The algorithm.
        kind (Kind): The network.
        role (str): ``student`` or ``teacher``.
        data (dict): A batch, as a data loader gives it.

    Returns:
        tuple[Tensor, Tensor]: Both of one shape, a row for each instance.
    """
    batch = model.data_preprocessor(data, True)
    # In test mode some heads give other outputs than their losses take.
    for part in ("bbox_head", "mask_head"):
        head = getattr(model.student, part, None)
        if head is not None:
            head.train()
    recorded = distilled_logits(model, role, batch)
    if not len(recorded):
        raise AssertionError("no place has an object to compare")
    network = getattr(model, role)
    head = head_and_family(network)[0]
    head.training = True  # itself only: its normalisations stay as they are
    outputs = head(network.extract_feat(batch["inputs"]))
    maps = outputs[1 if isinstance(head, SOLOHead) else 0]  # SOLO's masks come first
    if isinstance(head, CenterNetHead):
        maps = [of_level.logit() for of_level in maps]
    classes = logits_of_places(network)
    rows = torch.cat(
        [
            of_level.unflatten(1, (-1, classes)).movedim(2, -1).flatten(0, -2)
            for of_level in maps
        ]
    )
    if isinstance(head, (TOODHead, YOLOFHead)):
        recorded, rows = (values.argsort(-1).float() for values in (recorded, rows))
    nearest = torch.cdist(recorded, rows, p=float("inf")).argmin(dim=1)
    return recorded, rows[nearest]
