"""Scores of a network: by what is distilled, and as it predicts them."""

from typing import Any, Dict, List, Tuple

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from .kinds import Kind
from .networks import scores_by_sigmoid


def images(
    model: BaseModel, kind: Kind, role: str, data: dict
) -> Tuple[Tensor, Tensor]:
    """Scores by what the losses get, and as the network predicts them."""
    views = model.data_preprocessor(data, True)
    inputs = views["inputs"]
    network = getattr(model, role)
    if role == "teacher":  # which may get them normalised and resized as it is used to

        def see(module: nn.Module, args: tuple) -> None:
            nonlocal inputs
            inputs = args[0]

        network.register_forward_pre_hook(see)
    logits = distilled_logits(model, role, views)
    several = kind.labels == "several" or _is_sigmoid(network)
    samples = network.predict(inputs.clone())
    if kind.labels == "tasks":
        samples = [sample.get(model.task) for sample in samples]
    by_logits = logits.sigmoid() if several else logits.softmax(-1)
    return by_logits, torch.stack([sample.pred_score for sample in samples])


def distilled_logits(model: BaseModel, role: str, batch: dict) -> Tensor:
    """The logits of a network that the losses of a batch get.

    Args:
        model (BaseModel): The algorithm.
        role (str): Of which network.
        batch (dict): What the data preprocessor gives.

    Returns:
        Tensor: A row for each instance.
    """
    distiller, taken = model.distiller, {}

    def take() -> Dict[str, Tensor]:
        taken["logits"] = distiller.get_record("logits", role == "student")
        return {}

    distiller.compute_distill_losses = take
    model(**batch, mode="loss")
    del distiller.compute_distill_losses
    return taken["logits"]


def _is_sigmoid(network: nn.Module) -> bool:
    from mmpretrain.models import MultiLabelClsHead

    return isinstance(getattr(network, "head", None), MultiLabelClsHead)


def boxes(model: BaseModel, kind: Kind, role: str, data: dict) -> Tuple[Tensor, Tensor]:
    """Predicted scores of boxes, and the nearest by what is recorded."""
    from mmdet.models import CascadeRoIHead, SABLHead
    from mmdet.structures.bbox import bbox2roi

    from pckd_mm.models.algorithms.roi_networks import context_of

    network = getattr(model, role)
    batch = model.data_preprocessor(data, False)
    samples = batch["data_samples"]
    features = network.extract_feat(batch["inputs"])
    regions = [sample.proposals for sample in samples]
    roi_head = network.roi_head
    roi_head.test_cfg.score_thr = 0.0

    heads: List[Any] = [roi_head.bbox_head]
    more: List[tuple] = [()]
    if isinstance(roi_head, CascadeRoIHead):
        heads, more = (
            list(roi_head.bbox_head),
            [(k,) for k in range(len(roi_head.bbox_head))],
        )
    context = context_of(roi_head, features)

    def forward(stage: int = 0) -> Tensor:
        rois = bbox2roi([proposals.bboxes for proposals in regions])
        found = roi_head._bbox_forward(*more[stage], features, rois, **context)
        return found["cls_score"]

    # So that no region is all background, whatever the random features are.
    for stage, head in enumerate(heads):
        largest = forward(stage).abs().max()
        for parameter in head.fc_cls.parameters():
            parameter.mul_(3 / largest)
    recorders = getattr(model.distiller, f"{role}_recorders")
    if isinstance(roi_head.bbox_head, SABLHead):  # its scores weigh in the box as well
        with recorders:
            scores = forward().softmax(-1)
        logits = model.distiller.get_record("logits", role == "student")
        return logits.softmax(-1), scores
    with recorders:
        # Without masks, which may change the scores once more.
        found = roi_head.predict_bbox(
            features,
            [sample.metainfo for sample in samples],
            regions,
            roi_head.test_cfg,
            rescale=False,
            **context,
        )
    logits = _mean_of_stages(model, role, len(heads))
    scores = logits.sigmoid() if scores_by_sigmoid(kind) else logits.softmax(-1)
    nearest, predicted = [], []
    for each in found:
        for score, label in zip(each.scores, each.labels, strict=True):
            column = scores[:, label]
            nearest.append(column[(column - score).abs().argmin()])
            predicted.append(score)
    if not predicted:
        raise AssertionError("the detector predicts no box to compare")
    return torch.stack(nearest), torch.stack(predicted)


def _mean_of_stages(model: BaseModel, role: str, stages: int) -> Tensor:
    """The logits that are recorded; of a cascade their mean, by which it predicts."""
    recorder = getattr(model.distiller, f"{role}_recorders").get_recorder("logits")
    logits = []
    for recorder.stage in range(stages):
        logits.append(model.distiller.get_record("logits", role == "student"))
    return torch.stack(logits).mean(0)
