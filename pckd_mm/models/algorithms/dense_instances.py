"""Instances of a dense head: places of its maps, and what is classified there.

A convolution with kernel k x k is, at one place, a linear classifier: its feature is
the patch of its input around the place, flattened in the order of the weight.
"""

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .dense_heads import IGNORED, Geometry

__all__ = ["DenseMaps", "Instances", "choose_instances", "instances_of"]


@dataclass
class Instances:
    """What a classifier of places has of n instances.

    Attributes:
        patch (Tensor): Features, shape (n, D) with D = D' k k.
        place (Tensor): The patches' middle columns, shape (n, D').
        logits (Tensor): Shape (n, C).
        group (Tensor): Which of the sets of category centers is each one's, shape (n,).
    """

    patch: Tensor
    place: Tensor
    logits: Tensor
    group: Tensor


@dataclass
class DenseMaps:
    """Inputs and outputs of the classifying convolutions, level by level.

    Attributes:
        inputs (list[Tensor]): Of each level, shape (N, D', H, W).
        outputs (list[Tensor]): Of each level, shape (N, A * C, H, W).
        convolutions (list[nn.Conv2d]): The one of all levels, or that of each.
        classes (int): Logits C of an instance.
        has_background (bool): Whether the last of them is the background's, and a
            softmax of all gives probabilities.
    """

    inputs: List[Tensor]
    outputs: List[Tensor]
    convolutions: Sequence[nn.Conv2d]
    classes: int
    has_background: bool = False

    def anchors(self, level: int) -> int:
        """Anchors A of a place of a level."""
        return self.outputs[level].shape[1] // self.classes

    def geometry(self, background: int) -> Geometry:
        """How many places there are.

        Args:
            background (int): The label of background.
        """
        return Geometry(
            images=len(self.outputs[0]),
            places=[
                self.anchors(level) * output[0, 0].numel()
                for level, output in enumerate(self.outputs)
            ],
            background=background,
        )

    def highest(self) -> Tensor:
        """How sure of its likeliest category each place and anchor is, shape (N, P)."""
        rows = []
        for output in self.outputs:
            logits = output.unflatten(1, (-1, self.classes))
            if self.has_background:
                logits = logits.softmax(dim=2)[:, :, :-1]
            rows.append(logits.amax(dim=2).movedim(1, 3).flatten(1))
        return torch.cat(rows, dim=1)

    def centers(self) -> Tensor:
        """Category centers, shape (C, D), or of several anchors or levels (G, C, D)."""
        weights = [
            conv.weight.unflatten(0, (-1, self.classes)).flatten(2)
            for conv in self.convolutions
        ]
        return _single(torch.cat(weights))

    def bias(self) -> Optional[Tensor]:
        """Biases of the logits, shape (C,) or (G, C); None where there is none."""
        biases = [
            conv.bias.unflatten(0, (-1, self.classes))
            for conv in self.convolutions
            if conv.bias is not None
        ]
        return _single(torch.cat(biases)) if biases else None


def _single(sets: Tensor) -> Tensor:
    return sets[0] if len(sets) == 1 else sets


def choose_instances(
    labels: Tensor, background: int, scores: Tensor
) -> Tuple[Tensor, Tensor]:
    """The foreground, and as many instances of the background.

    Args:
        labels (Tensor): Labels of every image, place and anchor, shape (N, P).
        background (int): The label of background.
        scores (Tensor): By which the background is chosen, the highest first, shape
            (N, P).

    Returns:
        tuple[Tensor, Tensor]: Indices into the N * P entries, of n foreground instances
        and of n of the background, or of all where there are fewer. Both are ordered
        by place, so that those of a level are in a row.
    """
    # By place first, then by image.
    flat = labels.T.flatten()
    is_background = flat == background
    foreground = (~is_background & (flat != IGNORED)).nonzero().squeeze(1)
    candidates = is_background.nonzero().squeeze(1)
    wanted = min(len(foreground), len(candidates))
    best = scores.T.flatten()[candidates].topk(wanted, sorted=False).indices
    chosen = torch.cat([foreground, candidates[best].sort().values])
    images, places = labels.shape
    place, image = chosen // images, chosen % images
    indices = image * places + place
    return indices[: len(foreground)], indices[len(foreground) :]


def instances_of(maps: DenseMaps, parts: Sequence[Tensor]) -> Instances:
    """What a convolution makes of some instances.

    Args:
        maps (DenseMaps): The maps of one network.
        parts (Sequence[Tensor]): Indices into the N * P entries, each part ordered by
            place, as :func:`choose_instances` gives them.

    Returns:
        Instances: Theirs, one part behind the other.
    """
    sizes = maps.geometry(0).places
    bounds = torch.tensor(sizes, device=parts[0].device).cumsum(0)
    found = []
    for indices in parts:
        image, place = indices // sum(sizes), indices % sum(sizes)
        level_of = torch.bucketize(place, bounds, right=True)
        counts = level_of.bincount(minlength=len(sizes)).tolist()
        start, group = 0, 0
        rows = zip(image.split(counts), place.split(counts), strict=True)
        for level, (images, places) in enumerate(rows):
            found.append(_of_level(maps, level, images, places - start, group))
            start += sizes[level]
            if len(maps.convolutions) > 1:
                group += maps.anchors(level)
    return Instances(*(torch.cat(values) for values in zip(*found, strict=True)))


def _of_level(
    maps: DenseMaps, level: int, image: Tensor, place: Tensor, first_group: int
) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    inputs, output = maps.inputs[level], maps.outputs[level]
    anchors, width = maps.anchors(level), output.shape[3]
    anchor, cell = place % anchors, place // anchors
    row, column = cell // width, cell % width
    shared = len(maps.convolutions) == 1
    conv = maps.convolutions[0 if shared else level]
    logits = output.unflatten(1, (anchors, maps.classes))
    return (
        _patches(inputs, conv, image, row, column),
        inputs[image, :, row, column],
        logits[image, anchor, :, row, column],
        anchor + first_group,
    )


def _patches(
    inputs: Tensor, conv: nn.Conv2d, image: Tensor, row: Tensor, column: Tensor
) -> Tensor:
    """What a convolution sees at some places, shape (n, D' k k)."""
    height, width = conv.kernel_size
    if (height, width) == (1, 1):
        return inputs[image, :, row, column]
    above, beside = height // 2, width // 2  # its padding, which keeps the size
    padded = F.pad(inputs, (beside, beside, above, above))
    rows = row[:, None] + torch.arange(height, device=row.device)
    columns = column[:, None] + torch.arange(width, device=row.device)
    # Of indices with a slice between them, torch puts the dimensions in front.
    patches = padded[image[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return patches.movedim(3, 1).flatten(1)
