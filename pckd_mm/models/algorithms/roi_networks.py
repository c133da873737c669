"""Detectors whose regions of interest have one linear classifier a stage."""

from typing import Dict, List, Optional, Sequence

from mmdet.models.detectors import TwoStageDetector
from mmdet.models.layers import NormedLinear
from mmdet.models.roi_heads import (
    CascadeRoIHead,
    PISARoIHead,
    SparseRoIHead,
    StandardRoIHead,
    TridentRoIHead,
)
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.task_modules.samplers import (
    CombinedSampler,
    OHEMSampler,
    ScoreHLRSampler,
)
from mmengine.model import BaseModel
from torch import Tensor, nn

__all__ = ["box_heads", "check_detector", "classify_regions", "context_of"]

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
        "expected a TwoStageDetector of mmdet with a StandardRoIHead or a "
        "CascadeRoIHead, such as FasterRCNN or CascadeRCNN"
    )
    if not isinstance(model, TwoStageDetector):
        advice = ": take DenseDistill for it" if hasattr(model, "bbox_head") else ""
        raise TypeError(f"The {who} is a {type(model).__name__}; {expected}{advice}.")
    roi_head = getattr(model, "roi_head", None)
    served = (StandardRoIHead, CascadeRoIHead)
    if not isinstance(roi_head, served) or not roi_head.with_bbox:
        raise TypeError(
            f"The {who} is a {type(model).__name__} with a "
            f"{type(roi_head).__name__}; {expected}."
        )
    if isinstance(roi_head, SparseRoIHead):
        raise TypeError(
            f"The {who} has a {type(roi_head).__name__}, whose regions are queries "
            f"that the network learns, so that a teacher has others; {expected}."
        )
    if isinstance(roi_head, TridentRoIHead):
        raise TypeError(
            f"The {who} has a TridentRoIHead, whose branches see an image several "
            f"times in training and once in a test; {expected}."
        )
    for head in box_heads(model):
        _check_box_head(who, head)
    if is_student:
        _check_sampling(roi_head)


def box_heads(model: TwoStageDetector) -> List[BBoxHead]:
    """The box head of each stage."""
    heads = model.roi_head.bbox_head
    return list(heads) if isinstance(model.roi_head, CascadeRoIHead) else [heads]


def stage_names(model: TwoStageDetector, name: str) -> List[str]:
    """Names of the modules of all stages.

    Args:
        model (TwoStageDetector): The detector.
        name (str): Their name, with braces where a cascade has the stage.

    Returns:
        list[str]: One for each stage.
    """
    if not isinstance(model.roi_head, CascadeRoIHead):
        return [name.format("")]
    return [name.format(f".{stage}") for stage in range(model.roi_head.num_stages)]


def context_of(
    roi_head: StandardRoIHead, features: Sequence[Tensor]
) -> Dict[str, Tensor]:
    """What HTC's and SCNet's heads see beside the regions."""
    context = {}
    if getattr(roi_head, "with_semantic", False):
        _, context["semantic_feat"] = roi_head.semantic_head(features)
    if getattr(roi_head, "with_glbctx", False):
        _, context["glbctx_feat"] = roi_head.glbctx_head(features)
    return context


def classify_regions(
    roi_head: StandardRoIHead,
    stage: int,
    features: Sequence[Tensor],
    rois: Tensor,
    context: Dict[str, Tensor],
) -> None:
    """Run the box head of a stage on regions."""
    of_stage = (stage,) if isinstance(roi_head, CascadeRoIHead) else ()
    roi_head._bbox_forward(*of_stage, features, rois, **context)


def _check_box_head(who: str, head: nn.Module) -> None:
    """Refuse a box head whose classifier is not one linear layer."""
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


def _check_sampling(roi_head: StandardRoIHead) -> None:
    if roi_head.train_cfg is None:
        raise ValueError(
            "The student has no train_cfg.rcnn, by which regions are sampled; "
            "expected one: keep the train_cfg of the detector's config."
        )
    rcnn = "model.architecture.train_cfg.rcnn"
    samplers, parts = {f"{rcnn}.sampler": roi_head.bbox_sampler}, {}
    if isinstance(roi_head, CascadeRoIHead):
        found = enumerate(roi_head.bbox_sampler)
        samplers = {f"{rcnn}.{k}.sampler": sampler for k, sampler in found}
    for place, sampler in samplers.items():
        if isinstance(sampler, CombinedSampler):
            for name in ("pos_sampler", "neg_sampler"):
                parts[f"{place}.{name}"] = getattr(sampler, name)
        else:
            parts[place] = sampler
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
            f"StandardRoIHead and {rcnn}.sampler.type=RandomSampler, and leave out isr "
            "and carl, which are PISA's."
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
