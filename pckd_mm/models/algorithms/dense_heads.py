"""Heads that classify every place of every level by a convolution.

One table says of each family of mmdet's heads which convolution classifies, which
layers are in front of it, and which method's outputs tell the labels.
"""

from dataclasses import dataclass
from inspect import getmro
from typing import Any, Callable, Container, Dict, List, Optional, Sequence, Type, Union

import torch
from mmdet.models import dense_heads as heads
from torch import Tensor, nn

__all__ = ["IGNORED", "DenseFamily", "Geometry", "family_of", "refusal_of"]

# The label of a place that the head's own loss leaves out.
IGNORED = -1


@dataclass(frozen=True)
class Geometry:
    """How many there are of what in a batch.

    Attributes:
        images (int): Images N.
        places (tuple[int]): Places times anchors of each level; P in all.
        background (int): The label of background, the number of categories.
    """

    images: int
    places: Sequence[int]
    background: int

    def join(self, of_levels: Union[Tensor, Sequence[Tensor]]) -> Tensor:
        """Values level by level, image by image in each, as one row an image.

        Args:
            of_levels (Tensor | Sequence[Tensor]): Of each level N times its places, or
                those of all levels in a row.

        Returns:
            Tensor: Shape (N, P).
        """
        if isinstance(of_levels, Tensor):
            sizes = [self.images * places for places in self.places]
            of_levels = of_levels.flatten().split(sizes)
        return torch.cat([x.reshape(self.images, -1) for x in of_levels], dim=1)


# Labels of every image, place and anchor, shape (N, P), from the calls of a method and
# the labels of each image's objects.
Reader = Callable[[List[Any], Sequence[Tensor], Geometry], Tensor]


def _without_ignored(
    labels: Tensor, weights: Optional[Tensor], background: int
) -> Tensor:
    if weights is None:
        return labels
    return labels.masked_fill((labels == background) & (weights == 0), IGNORED)


def of_targets(labels: int, weights: Optional[int]) -> Reader:
    """Read what ``get_targets`` gives level by level.

    Args:
        labels (int): Place of the labels in it.
        weights (int, optional): Place of their weights.

    Returns:
        Callable: The reader.
    """

    def read(calls: List[Any], objects: Sequence[Tensor], geometry: Geometry) -> Tensor:
        (targets,) = calls
        weight = None if weights is None else targets[weights]
        return _without_ignored(
            geometry.join(targets[labels]),
            None if weight is None else geometry.join(weight),
            geometry.background,
        )

    return read


def of_last(read: Reader) -> Reader:
    """Read the last call of a method that gives labels in stages.

    Args:
        read (Callable): Reads one call.

    Returns:
        Callable: The reader.
    """
    return lambda calls, objects, geometry: read(calls[-1:], objects, geometry)


def of_images(
    calls: List[Any], objects: Sequence[Tensor], geometry: Geometry
) -> Tensor:
    """Read what gives labels and weights of an image, called for one after the other.

    Returns:
        Tensor: Labels, shape (N, P).
    """
    labels, weights = (torch.stack([call[k] for call in calls]) for k in (0, 1))
    return _without_ignored(labels, weights, geometry.background)


def of_assigner(
    calls: List[Any], objects: Sequence[Tensor], geometry: Geometry
) -> Tensor:
    """Read what an assigner gives, called for each image that has an object.

    Its ``gt_inds`` are 0 for background, -1 for what is left out, and from 1 the
    objects.

    Returns:
        Tensor: Labels, shape (N, P).
    """
    results = iter(calls)
    labels = objects[0].new_full(
        (geometry.images, sum(geometry.places)), geometry.background
    )
    for index, of_image in enumerate(objects):
        if len(of_image):
            found = next(results).gt_inds
            positive = found > 0
            labels[index, positive] = of_image[found[positive] - 1]
            labels[index, found < 0] = IGNORED
    return labels


@dataclass(frozen=True)
class DenseFamily:
    """How heads of a kind classify.

    Attributes:
        convolution (str): The head's classifying convolution, or those of its levels.
        read (Callable): Makes labels of what the method gives.
        method (str): The method that gives labels, of the head or, as
            ``'assigner.assign'``, of a part of it.
        tower (str, optional): The head's layers in front of the convolution, one after
            the other, or those of its levels; None where they are no plain sequence,
            so that the whole head runs.
    """

    convolution: str
    read: Reader
    method: str = "get_targets"
    tower: Optional[str] = "cls_convs"

    def convolutions(self, head: nn.Module) -> Dict[str, nn.Conv2d]:
        """The classifying convolution by its name in the head, or that of each level.

        Args:
            head (nn.Module): The head.

        Returns:
            dict[str, nn.Conv2d]: One, or one a level.
        """
        found = getattr(head, self.convolution)
        one_a_level = isinstance(found, nn.ModuleList)
        if one_a_level:
            return {f"{self.convolution}.{k}": conv for k, conv in enumerate(found)}
        return {self.convolution: found}

    def source(self, head: nn.Module) -> str:
        """Where the method is, for MMRazor's recorders of methods.

        Args:
            head (nn.Module): The head.

        Returns:
            str: Module, class and name.
        """
        owner, _, name = self.method.rpartition(".")
        kind = type(getattr(head, owner) if owner else head)
        kind = next(base for base in getmro(kind) if name in vars(base))
        return f"{kind.__module__}.{kind.__qualname__}.{name}"

    def classify(self, head: nn.Module, features: Sequence[Tensor]) -> None:
        """Run what leads to the scores of the categories, on all levels.

        Args:
            head (nn.Module): The head.
            features (Sequence[Tensor]): The levels of the pyramid.
        """
        if self.tower is None:
            head(features)
            return
        tower = getattr(head, self.tower)
        convolutions = list(self.convolutions(head).values())
        # A head behind DyHead has no layer of its own.
        is_of_levels = len(tower) and isinstance(
            tower[0], (nn.ModuleList, nn.Sequential)
        )
        for level, feature in enumerate(features):
            for layer in tower[level] if is_of_levels else tower:
                feature = layer(feature)
            convolutions[level if len(convolutions) > 1 else 0](feature)


_ANCHORS = of_targets(labels=0, weights=1)
_ANCHORS_BEHIND = of_targets(labels=1, weights=2)  # what comes first are the anchors
_POINTS = of_targets(labels=0, weights=None)

FAMILIES: Dict[Type[nn.Module], DenseFamily] = {
    heads.RetinaHead: DenseFamily("retina_cls", _ANCHORS),
    heads.RetinaSepBNHead: DenseFamily("retina_cls", _ANCHORS),
    heads.FCOSHead: DenseFamily("conv_cls", _POINTS),
    heads.FoveaHead: DenseFamily("conv_cls", _POINTS, tower=None),
    heads.ATSSHead: DenseFamily("atss_cls", _ANCHORS_BEHIND),
    heads.DDODHead: DenseFamily("atss_cls", _ANCHORS_BEHIND, "get_cls_targets"),
    heads.PAAHead: DenseFamily("atss_cls", of_images, "paa_reassign"),
    heads.GFLHead: DenseFamily("gfl_cls", _ANCHORS_BEHIND),
    # Its convolution sees features that the boxes deform.
    heads.VFNetHead: DenseFamily("vfnet_cls", _ANCHORS, tower=None),
    heads.TOODHead: DenseFamily("tood_cls", _ANCHORS_BEHIND, tower=None),
    heads.RTMDetHead: DenseFamily("rtm_cls", _ANCHORS_BEHIND),
    heads.YOLOXHead: DenseFamily(
        "multi_level_conv_cls",
        of_assigner,
        "assigner.assign",
        tower="multi_level_cls_convs",
    ),
    heads.YOLOFHead: DenseFamily("cls_score", _ANCHORS, tower="cls_subnet"),
    heads.YOLACTHead: DenseFamily("conv_cls", _ANCHORS, tower="head_convs"),
    # Labels are those of the boxes that the points are refined to.
    heads.RepPointsHead: DenseFamily(
        "reppoints_cls_out", of_last(_ANCHORS), tower=None
    ),
}

# What else there is, and why it is not served.
REFUSED: Dict[Type[nn.Module], str] = {
    heads.DETRHead: "whose queries the network learns, so that a teacher has others",
    heads.CornerHead: "which finds corners by heatmaps and not objects by places",
    heads.CenterNetHead: "which finds centers by heatmaps with soft labels",
    heads.CenterNetUpdateHead: "which finds centers by heatmaps with soft labels",
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
    heads.FSAFHead: "which chooses the level of an object after its labels, by losses",
    heads.LADHead: "which takes its labels from a teacher of its own",
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
