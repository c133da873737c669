"""What there is to train on, whatever the network is to find in it."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Optional, Sequence, Set, Tuple

from pckd_mm.datasets.held_out import content_split
from pckd_mm.utils.printable import printable

__all__ = ["Found", "SPLITS", "UnknownLayoutError", "check_names", "classes_with_few"]

# What folders and files of splits are called.
SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "validate", "dev", "eval"),
    "test": ("test", "testing"),
}


class UnknownLayoutError(ValueError):
    """A folder that is not laid out as any that is known, in words."""


@dataclass
class Found:
    """Images of categories.

    Args:
        root (Path): The folder.
        classes (list[str]): Names of the categories, in the order of their labels.
        splits (dict[str, Any]): Where ``train``, ``val`` and ``test`` are, those that
            are there.
        counts (dict[str, Counter]): What there is of each category, split by split:
            images of photos, else boxes.
        broken (list[str]): Files that are left out, with what is wrong.
        notes (list[str]): What the user should know of it, in sentences.
        labels (dict[str, dict[str, set[int]]]): Labels of what is in each file, split
            by split.
    """

    # What the networks are, and what is counted, in the user's words.
    kind: ClassVar[str]
    counted: ClassVar[str]
    # What is said about files that are left out.
    trouble: ClassVar[str]
    # The data set that reads it, where a config's base does not say it.
    dataset: ClassVar[Optional[str]] = None

    root: Path
    classes: List[str]
    splits: Dict[str, Any]
    counts: Dict[str, Counter] = field(default_factory=dict)
    broken: List[str] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)
    labels: Dict[str, Dict[str, Set[int]]] = field(default_factory=dict)
    # What is held out by the share: all files are read for it.
    _held_out: Dict[float, Tuple[int, Counter]] = field(
        default_factory=dict, repr=False
    )

    def images_of(self, split: str) -> int:
        """Number of images of a split.

        Args:
            split (str): Such as ``'train'``.
        """
        raise NotImplementedError

    def settings(self, split: str) -> Dict[str, Any]:
        """Settings of the data set that a split has beside the root.

        Args:
            split (str): Such as ``'train'``.
        """
        raise NotImplementedError

    @property
    def images(self) -> int:
        """int: Images in all."""
        return sum(map(self.images_of, self.splits))

    def held_out(self, share: float) -> Tuple[int, Counter]:
        """Images that are held out of the training's, as its data set does it.

        Args:
            share (float): Share that is held out.

        Returns:
            tuple[int, Counter]: How many; how many there are of each category, by name.
        """
        if share not in self._held_out:
            files, labels = zip(*self.labels["train"].items(), strict=True)
            _, places = content_split(files, labels, share)
            held = Counter({name: 0 for name in self.classes})
            held.update(self.classes[each] for p in places for each in labels[p])
            self._held_out[share] = len(places), held
        return self._held_out[share]

    def size(self) -> int:
        """Pixels of the images that the networks see, where the user does not say."""
        raise NotImplementedError

    def in_words(self) -> str:
        """What there is, for the user."""
        raise NotImplementedError

    def _each(self, split: str) -> str:
        """How much there is of a class."""
        counter = self.counts[split]
        least, most = min(counter.values()), max(counter.values())
        return f"{least if least == most else f'{least} to {most}'} of a class"


def check_names(root: Path, names: Sequence[str], where: str, what_to_do: str) -> None:
    """Refuse names of classes that cannot be printed.

    Args:
        root (Path): What they are of.
        names (Sequence[str]): The names.
        where (str): Such as ``'a folder'``.
        what_to_do (str): The advice.

    Raises:
        UnknownLayoutError: For such a name.
    """
    for name in names:
        if not name.isprintable():
            raise UnknownLayoutError(
                f"{root} has {where} named {printable(name)}; expected printable "
                f"UTF-8, since {what_to_do}."
            )


def classes_with_few(found: Found, least: int) -> Sequence[str]:
    """The classes with less to train on than that.

    Args:
        found (Found): What there is.
        least (int): Images, or boxes.
    """
    return [name for name, count in found.counts["train"].items() if count < least]
