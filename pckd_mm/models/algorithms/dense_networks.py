"""Detectors whose head classifies places by one convolution a level."""

from typing import Dict, List, Sequence, Tuple

import torch
from mmcv.cnn.bricks.wrappers import Conv2d
from mmdet.models.dense_heads import AnchorHead, RepPointsHead
from mmdet.models.detectors import BaseDetector, TwoStageDetector
from mmdet.models.detectors.base_detr import DetectionTransformer
from mmengine.model import BaseModel, BaseModule
from torch import Tensor, nn

from .dense_heads import DenseFamily, family_of, refusal_of

__all__ = [
    "check_detector",
    "check_pair",
    "classifying",
    "head_and_family",
    "levels_of",
    "logits_of_places",
    "name_of_head",
]

_EXPECTED = (
    "expected a one-stage detector of mmdet that classifies places by a convolution, "
    "such as RetinaNet, FCOS, ATSS, GFL, VFNet, PAA, TOOD, DDOD, RTMDet or YOLOX"
)


def name_of_head(model: BaseModel) -> str:
    """Where a one-stage detector has what classifies: with SOLO that finds masks.

    Args:
        model (BaseModel): The detector.
    """
    has_boxes = getattr(model, "bbox_head", None) is not None
    return "bbox_head" if has_boxes else "mask_head"


def classifying(model: BaseModel) -> Dict[str, nn.Conv2d]:
    """The convolutions that classify, by their names in the model.

    Args:
        model (BaseModel): A detector that is served.

    Returns:
        dict[str, nn.Conv2d]: One for all levels, or one for each.
    """
    head, family = head_and_family(model)
    found = family.convolutions(head)
    return {f"{name_of_head(model)}.{name}": conv for name, conv in found.items()}


def logits_of_places(model: BaseModel) -> int:
    """Logits of a place and anchor: the categories, and the background of a softmax."""
    return _logits(head_and_family(model)[0])


def check_detector(who: str, model: BaseModel, is_student: bool = False) -> None:
    """Refuse a network that does not classify places by one convolution a level.

    Args:
        who (str): What it is called in messages, such as ``'teacher'``.
        model (BaseModel): The network.
        is_student (bool): Whether places get labels in it. Defaults to False.

    Raises:
        TypeError: For a network that is not served, with the reason.
        ValueError: For a student without ``train_cfg``.
    """
    kind = type(model).__name__
    if isinstance(model, TwoStageDetector):
        raise TypeError(
            f"The {who} is a {kind}, which classifies regions in a second stage; "
            "expected a one-stage detector: take RoIDistill for it, with the method "
            "pckd_roi."
        )
    if isinstance(model, DetectionTransformer):
        raise TypeError(
            f"The {who} is a {kind}, whose queries the network learns, so that a "
            f"teacher has others; {_EXPECTED}."
        )
    head = getattr(model, name_of_head(model), None)
    if not isinstance(model, BaseDetector) or head is None:
        raise TypeError(f"The {who} is a {kind}; {_EXPECTED}.")
    reason = refusal_of(head)
    if reason is not None:
        raise TypeError(
            f"The {who} is a {kind} with a {type(head).__name__}, {reason}; "
            f"{_EXPECTED}."
        )
    for name, conv in family_of(head).convolutions(head).items():
        _check_convolution(who, head, name, conv)
    needs_assigner = isinstance(head, (AnchorHead, RepPointsHead)) or any(
        "." in method for method in family_of(head).methods
    )
    if is_student and needs_assigner and not head.train_cfg:
        raise ValueError(
            f"The {who} has no train_cfg, by which places get their labels; expected "
            "one: keep the train_cfg of the detector's config."
        )


def _check_convolution(who: str, head: BaseModule, name: str, conv: nn.Conv2d) -> None:
    """Refuse what is no linear classifier of the patch around a place."""
    plain = (
        type(conv) in (nn.Conv2d, Conv2d)
        and conv.stride == conv.dilation == (1, 1)
        and conv.groups == 1
        and conv.padding_mode == "zeros"
        and tuple(k % 2 for k in conv.kernel_size) == (1, 1)
        and conv.padding == tuple(k // 2 for k in conv.kernel_size)
    )
    if not plain or conv.out_channels % _logits(head):
        raise TypeError(
            f"The {who}'s {type(head).__name__} classifies by {name}, {conv}; expected "
            "a plain convolution of stride 1 that keeps the size of its input, of odd "
            f"kernel and with {_logits(head)} outputs for each anchor: leave out "
            "settings such as cls_predictor_cfg."
        )


def check_pair(student: BaseModel, teacher: BaseModel) -> None:
    """Refuse a teacher whose places, anchors or logits are not the student's.

    Args:
        student (BaseModel): A detector that is served.
        teacher (BaseModel): Another one.

    Raises:
        ValueError: Names what differs.
    """
    described = [_describe(model) for model in (student, teacher)]
    for name, of_student in described[0].items():
        of_teacher = described[1][name]
        if of_student != of_teacher:
            raise ValueError(
                f"The student has {of_student} and the teacher {of_teacher}; expected "
                f"the same {name}, since each place learns from the teacher's same "
                "one: take a teacher of the student's kind and settings."
            )
    anchors = [_base_anchors(model) for model in (student, teacher)]
    if anchors[0] and anchors[1]:
        if any(
            one.shape != other.shape or not torch.allclose(one, other)
            for one, other in zip(*anchors, strict=True)
        ):
            raise ValueError(
                "The anchors of student and teacher have other sizes or shapes; "
                "expected the same, since each anchor learns from the teacher's same "
                "one: give both heads one anchor_generator."
            )


def _describe(model: BaseModel) -> Dict[str, str]:
    """What must be alike, in words."""
    head = head_and_family(model)[0]
    convs = classifying(model)
    anchors = next(iter(convs.values())).out_channels // _logits(head)
    ends = "sigmoid" if _logits(head) == head.num_classes else "softmax"
    return {
        "categories": f"{head.num_classes} categories",
        "levels": f"levels of {', '.join(levels_of(head))}",
        "anchors": f"{anchors} {'anchor' if anchors == 1 else 'anchors'} a place",
        "scores": f"scores by a {ends}",
        "classifiers": "one classifier for all levels"
        if len(convs) == 1
        else "one classifier for each level",
    }


def levels_of(head: BaseModule) -> List[str]:
    """The levels of a head in words, such as ``['stride 8', 'stride 16']``.

    Args:
        head (BaseModule): The head of a detector that is served.
    """
    generator = getattr(head, "prior_generator", None)
    if generator is not None:
        strides = (s[0] if isinstance(s, tuple) else s for s in generator.strides)
        return [f"stride {stride}" for stride in strides]
    if hasattr(head, "num_grids"):
        return [f"{places} x {places} places" for places in head.num_grids]
    return ["the size that the neck gives"]  # CenterNet's


def _logits(head: BaseModule) -> int:
    return getattr(head, "cls_out_channels", head.num_classes)


def _base_anchors(model: BaseModel) -> Sequence[Tensor]:
    generator = getattr(head_and_family(model)[0], "prior_generator", None)
    return getattr(generator, "base_anchors", ())


def head_and_family(model: BaseModel) -> Tuple[BaseModule, DenseFamily]:
    """A detector's head, and how it classifies."""
    head = getattr(model, name_of_head(model))
    return head, family_of(head)
