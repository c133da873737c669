"""Detectors whose regions of interest have one linear classifier a stage."""

from typing import Any, Dict, List, Optional, Sequence

import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.models.layers import NormedLinear
from mmdet.models.roi_heads import (
    CascadeRoIHead,
    GridRoIHead,
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

from pckd_mm.models.task_modules.classifier import ClassifierLayer

__all__ = [
    "background_logits",
    "box_heads",
    "check_detector",
    "classifier_layer",
    "classify_regions",
    "context_of",
    "mines",
    "regions_of_images",
]

# Samplers that run the box head themselves, on RoIs that are not those of the loss.
_MINING = (OHEMSampler, ScoreHLRSampler)
# Where a config says how they are sampled.
_RCNN = "model.architecture.train_cfg.rcnn"
# Heads that pool regions, or sample them, once more behind the loss of categories.
_RUN_ON = (CascadeRoIHead, GridRoIHead)


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
    is_trident = isinstance(roi_head, TridentRoIHead)
    if is_trident and not is_student and roi_head.test_branch_idx == -1:
        raise TypeError(
            f"The {who} has a TridentRoIHead with test_branch_idx=-1, so that it "
            "predicts by all branches; expected one: set test_branch_idx=1 of its "
            "roi_head and its backbone."
        )
    for head in box_heads(model):
        _check_box_head(who, head)
    if is_student:
        _check_sampling(roi_head)


def box_heads(model: TwoStageDetector) -> List[BBoxHead]:
    """The box head of each stage."""
    return _heads(model.roi_head)


def _heads(roi_head: StandardRoIHead) -> List[BBoxHead]:
    heads = roi_head.bbox_head
    return list(heads) if isinstance(roi_head, CascadeRoIHead) else [heads]


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


def regions_of_images(roi_head: StandardRoIHead, rois: Tensor, images: int) -> Tensor:
    """Regions by the images that they are of.

    TridentNet sees a batch once in each branch, so that its regions count images on.

    Args:
        roi_head (StandardRoIHead): The head that sampled them.
        rois (Tensor): Each with the number of its image in front, shape (n, 5).
        images (int): Images of the batch.

    Returns:
        Tensor: Shape (n, 5).
    """
    if not isinstance(roi_head, TridentRoIHead):
        return rois
    return torch.cat([rois[:, :1] % images, rois[:, 1:]], dim=1)


def classifier_layer(head: BBoxHead, name: str) -> ClassifierLayer:
    """The linear layer that a box head classifies by.

    Args:
        head (BBoxHead): One that is served.
        name (str): What the layer is called in its network.
    """
    layer = head.fc_cls
    if not isinstance(layer, NormedLinear):
        return ClassifierLayer(name, layer.in_features)
    return ClassifierLayer(
        name,
        layer.in_features,
        cosine=True,
        scale=layer.tempearture,  # as mmdet spells it
        has_bias=layer.bias is not None,
    )


def background_logits(head: BBoxHead) -> int:
    """Logits of the background: none where categories have a sigmoid each.

    Args:
        head (BBoxHead): One that is served.
    """
    return head.fc_cls.out_features - head.num_classes


def _check_box_head(who: str, head: Any) -> None:
    """Refuse a box head whose classifier is not one linear layer."""
    classifier = getattr(head, "fc_cls", None)
    loss: Any = getattr(head, "loss_cls", None)
    categories = getattr(head, "num_classes", 0)
    outputs = categories + 1
    if getattr(loss, "custom_cls_channels", False):
        # None for a background that has no score of its own.
        outputs = min(outputs, loss.get_cls_channels(categories))
    if (
        not isinstance(head, BBoxHead)
        or not isinstance(classifier, nn.Linear)
        or getattr(classifier, "power", 1) != 1  # NormedLinear's, no cosines then
        or classifier.out_features != outputs
    ):
        raise TypeError(
            f"The {who}'s box head is a {type(head).__name__} with "
            f"{type(loss).__name__} and {_describe(classifier)} as fc_cls; expected a "
            f"BBoxHead, such as Shared2FCBBoxHead, with a linear fc_cls of {outputs} "
            "outputs, or a NormedLinear of power 1: take such a head, with "
            "CrossEntropyLoss."
        )


def _check_sampling(roi_head: StandardRoIHead) -> None:
    if roi_head.train_cfg is None:
        raise ValueError(
            "The student has no train_cfg.rcnn, by which regions are sampled; "
            "expected one: keep the train_cfg of the detector's config."
        )
    found = _mining(roi_head)
    samplers = " and ".join(sorted(set(found.values())))
    if found and not all(map(background_logits, _heads(roi_head))):
        raise TypeError(
            f"The student samples its regions by {samplers}, which mmdet has for "
            "scores by a softmax, and scores each category by a sigmoid; expected a "
            "softmax: take CrossEntropyLoss as loss_cls, or a StandardRoIHead with a "
            "RandomSampler."
        )
    if isinstance(roi_head, PISARoIHead):
        if not isinstance(roi_head.bbox_sampler, ScoreHLRSampler):
            raise TypeError(
                "The student has a PISARoIHead and samples its regions by a "
                f"{type(roi_head.bbox_sampler).__name__}; expected the one that is for "
                f"it: set {_RCNN}.sampler.type=ScoreHLRSampler."
            )
    elif found and (isinstance(roi_head, _RUN_ON) or samplers != "OHEMSampler"):
        head = type(roi_head).__name__
        advice = [f"{place}.type=RandomSampler" for place in found]
        raise TypeError(
            f"The student samples its regions by {samplers}, which runs the box head "
            f"on other regions first, in a {head}; expected such a sampler in a "
            "StandardRoIHead only, and ScoreHLRSampler in a PISARoIHead: set "
            f"{' and '.join(advice)}."
        )


def mines(roi_head: StandardRoIHead) -> bool:
    """Whether a head samples its regions by running the box head on others first."""
    return bool(_mining(roi_head))


def _mining(roi_head: StandardRoIHead) -> Dict[str, str]:
    """Samplers that mine, by where they are in a config."""
    samplers = {f"{_RCNN}.sampler": roi_head.bbox_sampler}
    parts: Dict[str, Any] = {}
    if isinstance(roi_head, CascadeRoIHead):
        of_stages = enumerate(roi_head.bbox_sampler)
        samplers = {f"{_RCNN}.{k}.sampler": sampler for k, sampler in of_stages}
    for place, sampler in samplers.items():
        if isinstance(sampler, CombinedSampler):
            for name in ("pos_sampler", "neg_sampler"):
                parts[f"{place}.{name}"] = getattr(sampler, name)
        else:
            parts[place] = sampler
    return {
        place: type(part).__name__
        for place, part in parts.items()
        if isinstance(part, _MINING)
    }


def _describe(module: Optional[nn.Module]) -> str:
    of = f" of {module.out_features} outputs" if isinstance(module, nn.Linear) else ""
    return f"a {type(module).__name__}{of}"
