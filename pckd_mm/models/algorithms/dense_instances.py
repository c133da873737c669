"""Instances of a dense head: places of its maps, and what is classified there.

A convolution with kernel k x k is, at one place, a linear classifier: its feature is
the patch of its input around the place, flattened in the order of the weight.
"""

from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from .dense_labels import IGNORED, Geometry

__all__ = ["Cells", "DenseMaps", "check_places", "choose_instances"]


class Cells(NamedTuple):
    """Where n instances of one level are; tensors have shape (n,)."""

    level: int
    image: Tensor
    row: Tensor
    column: Tensor
    anchor: Tensor


@dataclass
class DenseMaps:
    """Inputs and outputs of the classifying convolutions, level by level.

    What is read at cells has one row an instance, in the order of the cells.

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

    def cells(self, indices: Tensor) -> List[Cells]:
        """Where instances are, level by level; the same in any maps of this geometry.

        Args:
            indices (Tensor): Indices into the N * P entries, ordered by place, as
                :func:`choose_instances` gives them.

        Returns:
            list[Cells]: One of each level, empty where it has no instance.
        """
        sizes = self.geometry(0).places
        bounds = torch.tensor(sizes, device=indices.device).cumsum(0)
        image, place = indices // sum(sizes), indices % sum(sizes)
        level_of = torch.bucketize(place, bounds, right=True)
        counts = level_of.bincount(minlength=len(sizes)).tolist()
        found, start = [], 0
        rows = zip(image.split(counts), place.split(counts), strict=True)
        for level, (images, places) in enumerate(rows):
            anchors, width = self.anchors(level), self.outputs[level].shape[3]
            cell = (places - start) // anchors
            anchor = (places - start) % anchors
            found.append(Cells(level, images, cell // width, cell % width, anchor))
            start += sizes[level]
        return found

    def logits(self, cells: Sequence[Cells]) -> Tensor:
        """Logits of instances, shape (n, C)."""
        rows = []
        for level, image, row, column, anchor in cells:
            output = self.outputs[level].unflatten(1, (-1, self.classes))
            rows.append(output[image, anchor, :, row, column])
        return torch.cat(rows)

    def columns(self, cells: Sequence[Cells]) -> Tensor:
        """Features of the places alone, the patches' middle columns, shape (n, D')."""
        return torch.cat(
            [
                self.inputs[level][image, :, row, column]
                for level, image, row, column, _ in cells
            ]
        )

    def patches(self, cells: Sequence[Cells]) -> Tensor:
        """Features of instances, shape (n, D) with D = D' k k."""
        height, width = self.convolutions[0].kernel_size
        if (height, width) == (1, 1):
            return self.columns(cells)
        return torch.cat([self._patches(of_level, height, width) for of_level in cells])

    def _patches(self, cells: Cells, height: int, width: int) -> Tensor:
        level, image, row, column, _ = cells
        inputs = self.inputs[level]
        rows = _around(row, height)[:, :, None]
        columns = _around(column, width)[:, None, :]
        # Beyond the border are the zeros of the convolution's padding. They are set
        # behind: a padded map would be a copy of the whole.
        inside_rows = rows.clamp(0, inputs.shape[2] - 1)
        inside_columns = columns.clamp(0, inputs.shape[3] - 1)
        is_outside = (rows != inside_rows) | (columns != inside_columns)
        # Of indices with a slice between them, torch puts the dimensions in front.
        patches = inputs[image[:, None, None], :, inside_rows, inside_columns]
        patches = patches.masked_fill(is_outside[..., None], 0)
        return patches.movedim(3, 1).flatten(1)

    def groups(self, cells: Sequence[Cells]) -> Tensor:
        """Which of the sets of category centers is each instance's, shape (n,)."""
        one_a_level = len(self.convolutions) > 1
        firsts = [0] * len(self.outputs)
        for level in range(1, len(firsts)):
            if one_a_level:
                firsts[level] = firsts[level - 1] + self.anchors(level - 1)
        return torch.cat([anchor + firsts[level] for level, *_, anchor in cells])


def _single(sets: Tensor) -> Tensor:
    return sets[0] if len(sets) == 1 else sets


def _around(middle: Tensor, size: int) -> Tensor:
    """Indices of a kernel of odd size around a place, shape (n, size)."""
    return middle[:, None] + torch.arange(size, device=middle.device) - size // 2


def check_places(student: DenseMaps, teacher: DenseMaps) -> None:
    """Refuse maps of other places, where the heads' settings do not tell them.

    Args:
        student (DenseMaps): Those of a network.
        teacher (DenseMaps): Those of the other one.

    Raises:
        ValueError: For maps of other sizes.
    """
    sizes = [
        [f"{height} x {width}" for _, _, height, width in (x.shape for x in of.outputs)]
        for of in (student, teacher)
    ]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"The student's maps have {', '.join(sizes[0])} places and the teacher's "
            f"{', '.join(sizes[1])}; expected as many, since each place learns from "
            "the teacher's same one: take backbones and necks of the same strides."
        )


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
