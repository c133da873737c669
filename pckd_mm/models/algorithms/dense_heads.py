"""Heads that classify every place of every level by a convolution.

One table says of each family of mmdet's heads which convolution classifies, which
layers are in front of it, and which method's outputs tell the labels.
"""

from dataclasses import dataclass
from inspect import getmro
from typing import Any, Callable, Container, Dict, List, Optional, Sequence, Type

import torch.nn.functional as F
from mmdet.models import dense_heads as heads
from torch import Tensor, nn

from .dense_labels import (
    Reader,
    of_assigner,
    of_chosen_levels,
    of_grids,
    of_heatmaps,
    of_images,
    of_last,
    of_targets,
)

__all__ = ["DenseFamily", "family_of", "refusal_of"]


@dataclass(frozen=True)
class DenseFamily:
    """How heads of a kind classify.

    Attributes:
        convolution (str): The head's classifying convolution, or those of its levels.
        read (Callable): Makes labels of what the methods give.
        methods (tuple[str]): The methods that give labels, of the head or, as
            ``'assigner.assign'``, of a part of it.
        tower (str, optional): The head's layers in front of the convolution, one after
            the other, or those of its levels; None where they are no plain sequence,
            so that the whole head runs.
        resize (Callable, optional): What the tower sees, from the head and the levels
            of the pyramid. Defaults to None, these levels.
    """

    convolution: str
    read: Reader
    methods: Sequence[str] = ("get_targets",)
    tower: Optional[str] = "cls_convs"
    resize: Optional[Callable[[nn.Module, Sequence[Tensor]], Sequence[Tensor]]] = None

    def convolutions(self, head: nn.Module) -> Dict[str, nn.Conv2d]:
        """The classifying convolution by its name in the head, or that of each level.

        Args:
            head (nn.Module): The head.

        Returns:
            dict[str, nn.Conv2d]: One, or one a level.
        """
        found: Any = head.get_submodule(self.convolution)
        one_a_level = isinstance(found, nn.ModuleList)
        if one_a_level:
            return {f"{self.convolution}.{k}": conv for k, conv in enumerate(found)}
        return {self.convolution: found}

    def sources(self, head: nn.Module) -> List[str]:
        """Where the methods are, for MMRazor's recorders of methods.

        Args:
            head (nn.Module): The head.

        Returns:
            list[str]: Of each its module, class and name.
        """
        found = []
        for method in self.methods:
            owner, _, name = method.rpartition(".")
            kind = type(getattr(head, owner) if owner else head)
            kind = next(base for base in getmro(kind) if name in vars(base))
            found.append(f"{kind.__module__}.{kind.__qualname__}.{name}")
        return found

    def classify(self, head: nn.Module, features: Sequence[Tensor]) -> None:
        """Run what leads to the scores of the categories, on all levels.

        Args:
            head (nn.Module): The head.
            features (Sequence[Tensor]): The levels of the pyramid.
        """
        # SOLO may resize behind some of the layers.
        if self.tower is None or getattr(head, "cls_down_index", False):
            head(features)
            return
        if self.resize is not None:
            features = self.resize(head, features)
        tower = getattr(head, self.tower)
        convolutions = list(self.convolutions(head).values())
        # A head behind DyHead has no layer of its own.
        is_of_levels = len(tower) and isinstance(
            tower[0], (nn.ModuleList, nn.Sequential)
        )
        for level, feature in enumerate(features):
            convolution = convolutions[level if len(convolutions) > 1 else 0]
            for layer in tower[level] if is_of_levels else tower:
                if layer is not convolution:  # which may be the last of them
                    feature = layer(feature)
            convolution(feature)


def _to_grids(head: Any, features: Sequence[Tensor]) -> List[Tensor]:
    """Levels at the sizes of SOLO's grids."""
    return [
        F.interpolate(feature, size=places, mode="bilinear")
        for feature, places in zip(
            head.resize_feats(features), head.num_grids, strict=True
        )
    ]


_ANCHORS = of_targets(labels=0, weights=1)
_ANCHORS_BEHIND = of_targets(labels=1, weights=2)  # what comes first are the anchors
_POINTS = of_targets(labels=0, weights=None)
_GRIDS = DenseFamily("conv_cls", of_grids, ("_get_targets_single",), resize=_to_grids)

FAMILIES: Dict[Type[nn.Module], DenseFamily] = {
    heads.RetinaHead: DenseFamily("retina_cls", _ANCHORS),
    heads.RetinaSepBNHead: DenseFamily("retina_cls", _ANCHORS),
    heads.FCOSHead: DenseFamily("conv_cls", _POINTS),
    heads.FoveaHead: DenseFamily("conv_cls", _POINTS, tower=None),
    heads.ATSSHead: DenseFamily("atss_cls", _ANCHORS_BEHIND),
    heads.DDODHead: DenseFamily("atss_cls", _ANCHORS_BEHIND, ("get_cls_targets",)),
    # LAD's too, whose labels come of a teacher of its own.
    heads.PAAHead: DenseFamily("atss_cls", of_images, ("paa_reassign",)),
    heads.GFLHead: DenseFamily("gfl_cls", _ANCHORS_BEHIND),
    # Its convolution sees features that the boxes deform.
    heads.VFNetHead: DenseFamily("vfnet_cls", _ANCHORS, tower=None),
    heads.TOODHead: DenseFamily("tood_cls", _ANCHORS_BEHIND, tower=None),
    heads.RTMDetHead: DenseFamily("rtm_cls", _ANCHORS_BEHIND),
    heads.YOLOXHead: DenseFamily(
        "multi_level_conv_cls",
        of_assigner,
        ("assigner.assign",),
        tower="multi_level_cls_convs",
    ),
    heads.YOLOFHead: DenseFamily("cls_score", _ANCHORS, tower="cls_subnet"),
    heads.YOLACTHead: DenseFamily("conv_cls", _ANCHORS, tower="head_convs"),
    # Labels are those of the boxes that the points are refined to.
    heads.RepPointsHead: DenseFamily(
        "reppoints_cls_out", of_last(_ANCHORS), tower=None
    ),
    heads.FSAFHead: DenseFamily(
        "retina_cls",
        of_chosen_levels,
        ("get_targets", "reweight_loss_single"),
    ),
    heads.CenterNetHead: DenseFamily(
        "heatmap_head.2", of_heatmaps, tower="heatmap_head"
    ),
    heads.SOLOHead: _GRIDS,
}

# What else there is, and why it is not served.
REFUSED: Dict[Type[nn.Module], str] = {
    heads.DETRHead: "whose queries the network learns, so that a teacher has others",
    heads.CornerHead: "which finds corners by heatmaps and not objects by places",
    heads.CenterNetUpdateHead: (
        "whose labels are spread over the heatmaps of several levels"
    ),
    heads.YOLOV3Head: (
        "whose one convolution predicts boxes, objectness and categories together"
    ),
    heads.SSDHead: (
        "whose levels have features of different widths and numbers of anchors, so "
        "that their instances have no connector in common"
    ),
    heads.FreeAnchorRetinaHead: (
        "which gives an object a bag of anchors and no anchor a label"
    ),
    heads.AutoAssignHead: "which gives every place in an object a part of its label",
    heads.ATSSVLFusionHead: "which compares places with words and has no categories",
    heads.GuidedAnchorHead: "whose anchors the network predicts, so that a teacher has "
    "others",
    heads.RPNHead: "which tells objects from the rest and knows no categories",
}


def _kinds(head: nn.Module, table: Container[type]) -> List[Type[nn.Module]]:
    """The classes of a table that a head is of, the nearest first."""
    return [base for base in getmro(type(head)) if base in table]


def refusal_of(head: nn.Module) -> Optional[str]:
    """Why a head is not served.

    Args:
        head (nn.Module): The head.

    Returns:
        str, optional: A relative clause, such as ``'which finds corners'``; None for a
        head that is served.
    """
    kinds = _kinds(head, {**FAMILIES, **REFUSED})
    if not kinds:
        return "which is none of the heads that are known to classify places"
    return REFUSED.get(kinds[0])


def family_of(head: nn.Module) -> DenseFamily:
    """How a head classifies.

    Args:
        head (nn.Module): One that is served.

    Returns:
        DenseFamily: Its family.
    """
    return FAMILIES[_kinds(head, FAMILIES)[0]]
