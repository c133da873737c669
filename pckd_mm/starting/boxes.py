"""What is common to images with boxes, whatever their layout."""

import contextlib
import io
import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar, Dict, List

from mmcv.transforms import LoadImageFromFile

from pckd_mm.registry import DATASETS
from pckd_mm.utils.dependencies import has_detection

from .found import Found, UnknownLayoutError, check_names

__all__ = ["Boxes", "count_boxes"]

# Shorter side of images as networks see them, where the user does not say: that of most
# of them, between these. mmdet's networks are trained with 800.
_SMALLEST, _LARGEST = 320, 800


@dataclass
class Boxes(Found):
    """Images with boxes.

    Args:
        sides (dict[str, list[int]]): Shorter side of each image, split by split.
            ``splits`` are settings of the data set.
    """

    kind: ClassVar[str] = "detectors"
    counted: ClassVar[str] = "boxes"
    trouble: ClassVar[str] = "have a defect"
    # What the layout is called.
    layout: ClassVar[str]

    sides: Dict[str, List[int]] = field(default_factory=dict)

    def images_of(self, split: str) -> int:
        """Number of images of a split."""
        return len(self.sides[split])

    def settings(self, split: str) -> Dict[str, Any]:
        """Settings of the data set that a split has beside the root."""
        return self.splits[split]

    def size(self) -> int:
        """Shorter side of images as networks see them: that of most, 320 to 800."""
        side = statistics.median(s for sides in self.sides.values() for s in sides)
        return round(min(max(side, _SMALLEST), _LARGEST) / 32) * 32

    def in_words(self) -> str:
        """What there is, for the user."""
        parts = (
            f"{split}: {self.images_of(split)} images, "
            f"{sum(self.counts[split].values())} boxes, {self._each(split)}"
            for split in self.splits
        )
        return f"{self.layout}, {len(self.classes)} classes; " + "; ".join(parts)


def count_boxes(found: Boxes) -> None:
    """Count images and boxes of each split, by the checks that a training makes.

    Args:
        found (Boxes): With its classes and splits, changed in place: ``counts``,
            ``sides`` and ``broken``.

    Raises:
        UnknownLayoutError: Without MMDetection, for names that cannot be printed, and
            for classes without a box to train on.
        FileNotFoundError: Where all images of a split are missing.
        ValueError: Where all of a split is broken otherwise.
    """
    if not has_detection():
        raise UnknownLayoutError(
            f"{found.root} is laid out like {found.layout}, data of detectors; "
            "expected MMDetection to be installed, which has them: see pckd doctor."
        )
    if not found.classes:
        raise UnknownLayoutError(
            f"{found.root} is laid out like {found.layout} and has no boxes to train "
            "on; expected some: annotate the images."
        )
    check_names(found.root, found.classes, "a class", "names stand in logs: rename it")
    for split in found.splits:
        _count(found, split)
    empty = [name for name, count in found.counts["train"].items() if not count]
    if empty:
        raise UnknownLayoutError(
            f"{found.root} has no box of {', '.join(empty)} to train on, but for those "
            "of broken files and such to be ignored; expected some: mend the files, or "
            "annotate more."
        )


def _count(found: Boxes, split: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()):  # COCO's API says what it does
        dataset = DATASETS.build(
            dict(
                type=found.dataset,
                data_root=str(found.root),
                metainfo=dict(classes=found.classes),
                pipeline=[LoadImageFromFile()],
                leave_out_broken=True,
                test_mode=split != "train",
                **found.settings(split),
            )
        )
    found.broken += dataset.broken_files.values()
    counter = Counter({name: 0 for name in found.classes})
    sides = []
    found.labels[split] = {}
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        sides.append(min(info["height"], info["width"]))
        labels = {instance["bbox_label"] for instance in info["instances"]}
        found.labels[split][info["img_path"]] = labels
        counter.update(
            found.classes[instance["bbox_label"]]
            for instance in info["instances"]
            if not instance["ignore_flag"]
        )
    found.counts[split], found.sides[split] = counter, sides
