"""Detectors whose regions of interest have one linear classifier."""

from typing import Optional

from mmdet.models.detectors import TwoStageDetector
from mmdet.models.layers import NormedLinear
from mmdet.models.roi_heads import PISARoIHead, StandardRoIHead, TridentRoIHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.task_modules.samplers import (
    CombinedSampler,
    OHEMSampler,
    ScoreHLRSampler,
)
from mmengine.model import BaseModel
from torch import nn

__all__ = ["check_detector"]

# Samplers that run the box head themselves, on RoIs that are not those of the loss.
_MINING = (OHEMSampler, ScoreHLRSampler)


def check_detector(who: str, model: BaseModel, is_student: bool = False) -> None:
    """Refuse a network that has not one linear classifier of regions.

    Args:
        who (str): What it is called in messages, such as ``'teacher'``.
        model (BaseModel): The network.
        is_student (bool): Whether its regions are sampled. Defaults to False.

    Raises:
        TypeError: See :class:`RoIDistill`.
        ValueError: For a student without ``train_cfg``.
    """
    expected = (
        "expected a TwoStageDetector of mmdet with a StandardRoIHead, such as "
        "FasterRCNN or MaskRCNN"
    )
    if not isinstance(model, TwoStageDetector):
        raise TypeError(f"The {who} is a {type(model).__name__}; {expected}.")
    roi_head = getattr(model, "roi_head", None)
    if not isinstance(roi_head, StandardRoIHead) or not roi_head.with_bbox:
        raise TypeError(
            f"The {who} is a {type(model).__name__} with a "
            f"{type(roi_head).__name__}; {expected}: a cascade, for one, has "
            "several classifiers, and which of them to distil has no rule."
        )
    if isinstance(roi_head, TridentRoIHead):
        raise TypeError(
            f"The {who} has a TridentRoIHead, whose branches see an image several "
            f"times in training and once in a test; {expected}."
        )
    head = roi_head.bbox_head
    classifier = getattr(head, "fc_cls", None)
    if (
        not isinstance(head, BBoxHead)
        or not isinstance(classifier, nn.Linear)
        or isinstance(classifier, NormedLinear)  # scales its rows and features
        or classifier.out_features != head.num_classes + 1
    ):
        loss = type(getattr(head, "loss_cls", None)).__name__
        raise TypeError(
            f"The {who}'s box head is a {type(head).__name__} with {loss} and "
            f"{_describe(classifier)} as fc_cls; expected a BBoxHead, such as "
            "Shared2FCBBoxHead, with a linear fc_cls of num_classes + 1 = "
            f"{getattr(head, 'num_classes', 0) + 1} outputs: take such a head, "
            "with CrossEntropyLoss."
        )
    if is_student:
        _check_sampling(roi_head)


def _check_sampling(roi_head: StandardRoIHead) -> None:
    if roi_head.train_cfg is None:
        raise ValueError(
            "The student has no train_cfg.rcnn, by which regions are sampled; "
            "expected one: keep the train_cfg of the detector's config."
        )
    key = "model.architecture.train_cfg.rcnn.sampler"
    parts = {key: roi_head.bbox_sampler}
    if isinstance(roi_head.bbox_sampler, CombinedSampler):
        names = ("pos_sampler", "neg_sampler")
        parts = {f"{key}.{n}": getattr(roi_head.bbox_sampler, n) for n in names}
    mining = {
        place: type(part).__name__
        for place, part in parts.items()
        if isinstance(part, _MINING)
    }
    if isinstance(roi_head, PISARoIHead):  # mmdet's fails with any other sampler
        raise TypeError(
            "The student has a PISARoIHead, whose sampler runs the box head on "
            "other regions first; expected a StandardRoIHead and a sampler that "
            "does not, such as RandomSampler: set model.architecture.roi_head.type="
            f"StandardRoIHead and {key}.type=RandomSampler, and leave out isr and "
            "carl, which are PISA's."
        )
    if mining:
        advice = [f"{place}.type=RandomSampler" for place in mining]
        raise TypeError(
            "The student samples its regions by "
            f"{' and '.join(sorted(set(mining.values())))}, which runs the box "
            "head on other regions first; expected a sampler that does not, such "
            f"as RandomSampler: set {' and '.join(advice)}."
        )


def _describe(module: Optional[nn.Module]) -> str:
    of = f" of {module.out_features} outputs" if isinstance(module, nn.Linear) else ""
    return f"a {type(module).__name__}{of}"
