"""Labels of every place of a dense head, read from what tells them to its own loss."""

from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Sequence, Union

import torch
from torch import Tensor

__all__ = [
    "IGNORED",
    "Geometry",
    "Reader",
    "of_assigner",
    "of_chosen_levels",
    "of_grids",
    "of_heatmaps",
    "of_images",
    "of_last",
    "of_targets",
]

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


# Labels of every image, place and anchor, shape (N, P), from the calls of the methods
# that tell them and the labels of each image's objects.
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


def of_chosen_levels(
    calls: List[Any], objects: Sequence[Tensor], geometry: Geometry
) -> Tensor:
    """Read targets of all levels, then which of their positives each level keeps.

    FSAF gives an object places in every level. The level whose loss is the smallest
    learns it. The others leave it out, as places around objects are, of which the loss
    of some categories is.

    Args:
        calls (list): What gives labels and weights of all levels, then of each level
            losses of categories and boxes and the positives that it keeps.
        objects (Sequence[Tensor]): Not read.
        geometry (Geometry): Of the batch.

    Returns:
        Tensor: Labels, shape (N, P).
    """
    targets, *of_levels = calls
    labels = geometry.join(targets[0])
    weights = geometry.join([of_level.amin(dim=-1) for of_level in targets[1]])
    stays = geometry.join([positive for _, _, positive in of_levels])
    is_left_out = (labels != geometry.background) & ~stays
    labels = labels.masked_fill(is_left_out, IGNORED)
    return _without_ignored(labels, weights, geometry.background)


def of_heatmaps(
    calls: List[Any], objects: Sequence[Tensor], geometry: Geometry
) -> Tensor:
    """Read heatmaps of the categories, which are 1 where an object has its center.

    Returns:
        Tensor: Labels, shape (N, P); of two objects with one center the lower.
    """
    ((targets, _),) = calls
    is_center = targets["center_heatmap_target"] == 1
    labels = is_center.int().argmax(dim=1)
    return labels.masked_fill(~is_center.any(dim=1), geometry.background).flatten(1)


def of_grids(calls: List[Any], objects: Sequence[Tensor], geometry: Geometry) -> Tensor:
    """Read the labels of the grids of an image, called for one after the other.

    Returns:
        Tensor: Labels, shape (N, P).
    """
    return torch.stack(
        [torch.cat([grid.flatten() for grid in labels]) for _, labels, *_ in calls]
    )
