"""What is in a folder of photos, with a folder for each class."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Optional

import cv2
import numpy as np

from pckd_mm.datasets.image_checks import load_whole
from pckd_mm.deployment.images import ENDINGS, files_below, images_in

from .found import SPLITS, Found, UnknownLayoutError, check_names

__all__ = ["Photos", "look_at_photos"]


@dataclass
class Photos(Found):
    """Photos in folders of categories.

    Args:
        smallest (int): Pixels of the shortest side of all images. ``splits`` are
            folders in the root; ``{"train": ""}`` where the categories lie in the root
            itself.
    """

    kind: ClassVar[str] = "classifiers"
    counted: ClassVar[str] = "images"
    trouble: ClassVar[str] = "cannot be read"

    smallest: int = 0

    def images_of(self, split: str) -> int:
        """Number of images of a split."""
        return sum(self.counts[split].values())

    def settings(self, split: str) -> Dict[str, Any]:
        """Settings of the data set that a split has beside the root."""
        folder = self.splits[split]
        return {"data_prefix": folder} if folder else {}

    def size(self) -> int:
        """Height and width that the networks see: 224, or less for small images."""
        return min(224, max(32, self.smallest // 32 * 32))

    def may_leave_one(self, batch: int, share: float) -> bool:
        """Whether the last batch of an epoch may have one image.

        Args:
            batch (int): Images of a batch.
            share (float): Share that is held out where there is no val part.
        """
        images = len(self.labels["train"])
        if "val" not in self.splits:
            images -= self.held_out(share)[0]
        # Broken files may be mended, removed or skipped.
        if self.broken:
            return images >= batch
        return images > batch and images % batch == 1

    def in_words(self) -> str:
        """What there is, for the user."""
        parts = (
            f"{self.splits[split] or '.'}: {self.images_of(split)} images, "
            f"{self._each(split)}"
            for split in self.counts
        )
        return f"{len(self.classes)} classes; " + "; ".join(parts)


def look_at_photos(root: Path) -> Photos:
    """Look at a folder of photos.

    Args:
        root (Path): A folder with a folder for each category, or with ``train``,
            ``val`` and ``test`` folders of such.

    Returns:
        Photos: What is there; broken files are listed, and not counted.

    Raises:
        UnknownLayoutError: Where it holds no categories of images.
    """
    _refuse_photos_alone(root)
    splits = _splits(root)
    found = Photos(root, _classes(root, splits), splits)
    for split, folder in splits.items():
        _count(found, split, root / folder)
    found.notes += _left_out(root, found)
    return found


def _refuse_photos_alone(root: Path) -> None:
    """Tell photos without folders of categories."""
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
        for split, known in SPLITS.items()
        if any(name in names and _folders(root / names[name]) for name in known)
    }
    return found if "train" in found else {"train": ""}


def _left_out(root: Path, found: Photos) -> List[str]:
    """What is said about images outside of the folders of classes."""
    notes = []
    folders = [root / folder for folder in found.splits.values()]
    for folder in dict.fromkeys([root, *folders]):
        loose = images_in(folder, recursive=False)
        if loose:
            notes.append(
                f"{folder}: images beside the folders are left out ({len(loose)}); "
                "move them into the folder of their class."
            )
    others = [] if root in folders else [f for f in _folders(root) if f not in folders]
    known = [name for names in SPLITS.values() for name in names]
    for folder in others:
        if not images_in(folder):
            continue
        why = f"it is called none of {', '.join(known)}; rename it"
        if folder.name.lower() in known:
            why = "it has no folders of classes; sort them into such"
            if _folders(folder):
                why = "another folder is used for the same; put them together"
        notes.append(
            f"{folder}: its images are left out, since {why} if they are to be used."
        )
    return notes


def _folders(root: Path) -> List[Path]:
    return sorted(entry for entry in root.iterdir() if entry.is_dir())


def _classes(root: Path, splits: Dict[str, str]) -> List[str]:
    by_split = {s: [f.name for f in _folders(root / d)] for s, d in splits.items()}
    classes = by_split["train"]
    if len(classes) < 2:
        deeper = [root / splits["train"] / name for name in classes]
        deeper = [folder for folder in deeper if len(_folders(folder)) > 1]
        hint = f": did you mean --data {deeper[0]}?" if deeper else "."
        raise UnknownLayoutError(
            f"{root / splits['train']} has {len(classes)} folders of classes; expected "
            f"two or more, each with the images of a class{hint}"
        )
    hidden = [name for name in classes if name[0] in "._"]
    if hidden:
        raise UnknownLayoutError(
            f"{root / splits['train']} has a folder {hidden[0]}, which would be a "
            "class; expected folders of classes alone: move it elsewhere."
        )
    check_names(root, classes, "a folder", "folders name the classes: rename it")
    for split, others in by_split.items():
        if others != classes:
            pairs = (
                (splits[split], others, classes),
                (splits["train"], classes, others),
            )
            missing = [
                f"{root / folder} lacks {', '.join(sorted(set(more) - set(mine)))}"
                for folder, mine, more in pairs
                if set(more) - set(mine)
            ]
            raise UnknownLayoutError(
                f"{' and '.join(missing)}; expected the same classes in each."
            )
    return classes


def _count(found: Photos, split: str, folder: Path) -> None:
    files: List[Path] = []
    labels: List[str] = []
    others: Counter[str] = Counter()
    for name in found.classes:
        there = files_below(folder / name)
        inside = [path for path in there if path.suffix.lower() in ENDINGS]
        others.update(path.suffix.lower() for path in set(there) - set(inside))
        files += inside
        labels += [name] * len(inside)
    if others:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
        found.notes.append(
            f"{folder}: files of other kinds are left out ({kinds}); images are "
            f"*{', *'.join(ENDINGS)}."
        )
    with ThreadPoolExecutor() as pool:
        sides = list(pool.map(_shortest_side, files))
    counter = Counter({name: 0 for name in found.classes})
    places = {name: place for place, name in enumerate(found.classes)}
    found.labels[split] = {}
    for file, label, side in zip(files, labels, sides, strict=True):
        if side is None:
            found.broken.append(str(file))
            continue
        counter[label] += 1
        found.labels[split][str(file)] = {places[label]}
        found.smallest = min(found.smallest or side, side)
    empty = [name for name, count in counter.items() if not count]
    if empty:
        raise UnknownLayoutError(
            f"{folder / empty[0]} has no image that can be read, as {len(empty)} of "
            f"{len(counter)} classes; expected some: add images, or remove the folder."
        )
    found.counts[split] = counter


def _shortest_side(path: Path) -> Optional[int]:
    """Pixels of an image's shorter side; None where a training would refuse it."""

    def load() -> Optional[np.ndarray]:
        content = np.fromfile(path, np.uint8)
        return cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None

    try:
        image = load_whole(str(path), load)
    except (OSError, ValueError, cv2.error):
        return None
    return None if image is None else min(image.shape[:2])
