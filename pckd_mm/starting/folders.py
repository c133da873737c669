"""What is in a folder of images."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import cv2
import numpy as np

from pckd_mm.deployment.images import ENDINGS
from pckd_mm.utils.printable import printable

__all__ = ["Found", "UnknownLayoutError", "look_at"]

# What folders of splits are called.
_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


class UnknownLayoutError(ValueError):
    """A folder that is not laid out as any that is known, in words."""


@dataclass
class Found:
    """Photos in folders of categories.

    Args:
        root (Path): The folder.
        classes (list[str]): Names of the categories, in the order of their labels.
        splits (dict[str, str]): Folders of ``train``, ``val`` and ``test`` in the root,
            those that are there; ``{"train": ""}`` where the categories lie in the
            root itself.
        counts (dict[str, Counter]): Images of each category, split by split.
        broken (list[str]): Files that do not decode, with what is wrong.
        smallest (int): Pixels of the shortest side of all images.
    """

    root: Path
    classes: List[str]
    splits: Dict[str, str]
    counts: Dict[str, Counter] = field(default_factory=dict)
    broken: List[str] = field(default_factory=list)
    smallest: int = 0

    @property
    def images(self) -> int:
        """int: Images in all."""
        return sum(sum(counter.values()) for counter in self.counts.values())

    def in_words(self) -> str:
        """What there is, for the user."""
        parts = []
        for split, counter in self.counts.items():
            least, most = min(counter.values()), max(counter.values())
            each = f"{least}" if least == most else f"{least} to {most}"
            where = f"{self.splits[split] or '.'}"
            parts.append(f"{where}: {sum(counter.values())} images, {each} of a class")
        return f"{len(self.classes)} classes; " + "; ".join(parts)


def look_at(root: Path) -> Found:
    """Look at a folder of photos.

    Args:
        root (Path): A folder with a folder for each category, or with ``train``,
            ``val`` and ``test`` folders of such.

    Returns:
        Found: What is there; broken files are listed, and not counted.

    Raises:
        FileNotFoundError: Where there is no such folder.
        UnknownLayoutError: Where it holds no categories of images.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}; expected one of photos.")
    _refuse_other_layouts(root)
    splits = _splits(root)
    found = Found(root, _classes(root, splits), splits)
    for split, folder in splits.items():
        _count(found, split, root / folder)
    return found


def _refuse_other_layouts(root: Path) -> None:
    """Tell data of detectors, and photos without folders of categories."""
    xml = next(root.glob("**/Annotations/*.xml"), None)
    coco = next((p for p in root.glob("**/annotations/*.json")), None)
    if xml is not None or coco is not None:
        what = "Pascal VOC" if xml is not None else "COCO"
        raise UnknownLayoutError(
            f"{root} is laid out like {what}, data of detectors; expected a folder for "
            "each class: for detectors begin with a copy of the config "
            "pckd/voc_frcnn_r101_r50, and set its data_root and classes."
        )
    if not any(entry.is_dir() for entry in root.iterdir()):
        images = sum(entry.suffix.lower() in ENDINGS for entry in root.iterdir())
        raise UnknownLayoutError(
            f"{root} has {images or 'no'} images and no folders; expected a folder for "
            "each class, whose name is the class: move the images into such."
        )


def _splits(root: Path) -> Dict[str, str]:
    """The folders of splits; the root is all of the training where there is none."""
    names = {entry.name.lower(): entry.name for entry in _folders(root)}
    found = {
        split: next(names[n] for n in known if n in names and _folders(root / names[n]))
        for split, known in _SPLITS.items()
        if any(name in names and _folders(root / names[name]) for name in known)
    }
    return found if "train" in found else {"train": ""}


def _folders(root: Path) -> List[Path]:
    return sorted(entry for entry in root.iterdir() if entry.is_dir())


def _classes(root: Path, splits: Dict[str, str]) -> List[str]:
    by_split = {s: [f.name for f in _folders(root / d)] for s, d in splits.items()}
    classes = by_split["train"]
    if len(classes) < 2:
        raise UnknownLayoutError(
            f"{root / splits['train']} has {len(classes)} folders of classes; expected "
            "two or more, each with the images of a class."
        )
    hidden = [name for name in classes if name[0] in "._"]
    if hidden:
        raise UnknownLayoutError(
            f"{root / splits['train']} has a folder {hidden[0]}, which would be a "
            "class; expected folders of classes alone: move it elsewhere."
        )
    for name in classes:
        if not name.isprintable():
            raise UnknownLayoutError(
                f"{root} has a folder named {printable(name)}; expected printable "
                "UTF-8, since folders name the classes: rename it."
            )
    for split, others in by_split.items():
        if others != classes:
            different = sorted(set(others) ^ set(classes))
            raise UnknownLayoutError(
                f"{root / splits[split]} and {root / splits['train']} have different "
                f"folders ({', '.join(different)}); expected the same classes in each."
            )
    return classes


def _count(found: Found, split: str, folder: Path) -> None:
    files, labels = [], []
    for name in found.classes:
        inside = sorted((folder / name).rglob("*"))
        inside = [path for path in inside if path.suffix.lower() in ENDINGS]
        files += inside
        labels += [name] * len(inside)
    with ThreadPoolExecutor() as pool:
        sides = list(pool.map(_shortest_side, files))
    counter = Counter({name: 0 for name in found.classes})
    for file, label, side in zip(files, labels, sides, strict=True):
        if side is None:
            found.broken.append(str(file))
            continue
        counter[label] += 1
        found.smallest = min(found.smallest or side, side)
    empty = [name for name, count in counter.items() if not count]
    if empty:
        raise UnknownLayoutError(
            f"{folder / empty[0]} has no image that can be read, as {len(empty)} of "
            f"{len(counter)} classes; expected some: add images, or remove the folder."
        )
    found.counts[split] = counter


def _shortest_side(path: Path) -> Optional[int]:
    """Pixels of an image's shorter side; None where it does not decode."""
    try:
        content = np.fromfile(path, np.uint8)
        image = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    except (OSError, cv2.error):
        return None
    return None if image is None else min(image.shape[:2])


def classes_with_few(found: Found, least: int) -> Sequence[str]:
    """The classes with fewer images to train on than that."""
    return [name for name, count in found.counts["train"].items() if count < least]
