"""What an inspection of trained classifiers found, in a file and read back."""

import json
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from pckd_mm.utils.files import write_whole
from pckd_mm.utils.printable import first_line

from .feature_map import FeatureMap

__all__ = [
    "FAULTS",
    "ConfusedPair",
    "Inspected",
    "PreviewedImage",
    "compared_with",
    "likeness",
    "read_inspection",
    "reason_of",
    "write_inspection",
]

# What keeps a network from being run: data or weights that are not there, most often;
# the first of networks of others.
FAULTS = (AttributeError, ImportError, KeyError, OSError, RuntimeError, ValueError)
RESULT = "inspection.json"
# Of the file; one of another form is made again.
FORM = 3
_ARRAYS = "arrays.npz"
# What stands for an array in the other file: its place there. No network is so named.
_PLACE = "\x00array"


@dataclass
class PreviewedImage:
    """A training image that was previewed.

    Args:
        label (str): Its category.
        epochs (int): Epochs in which its weight was below 1.
        mean_weight (float): Mean of its weights over the training.
        image (str): The image as a data: URI.
        answer (str): The category that the trained network takes it for.
    """

    label: str
    epochs: int
    mean_weight: float
    image: str
    answer: str


@dataclass
class ConfusedPair:
    """A category of the test set, and another one that it is taken for.

    Args:
        category (str): The category.
        taken_for (str): What images of it are taken for.
        total (int): Test images of the category.
        counts (dict[str, int]): How many of them each network takes for the other.
        image (str): One of them as a data: URI.
        other_image (str): A test image of the other category, likewise.
    """

    category: str
    taken_for: str
    total: int
    counts: Dict[str, int]
    image: str
    other_image: str


@dataclass
class Inspected:
    """What was found.

    Args:
        networks (list[str]): Names of the networks, the teachers' first.
        teachers (dict[str, str]): Of networks that are compared with a teacher the name
            of that one.
        test_images (int): Images of the test set.
        wrong (dict[str, int]): How many of them each network takes for another.
        pairs (list[ConfusedPair]): The most frequent confusions of the students.
        passes (dict[str, int]): Of each network with a preview the epochs counted.
        previewed (dict[str, list[PreviewedImage]]): Of these the training images that
            were previewed longest.
        learned (dict[str, list[PreviewedImage]]): Of these the ones that the trained
            network names right, previewed longest.
        asked (dict[str, list[int]]): About how many of the images that were previewed
            longest each of these networks was asked, and how many it names right.
        categories (list[str]): Names of the categories.
        matrices (dict[str, np.ndarray]): Confusion matrix of each network, shape (C,
            C): the images of a category, a row, that are taken for each.
        maps (dict[str, FeatureMap]): Features in a plane, of the networks that have
            some.
        centers (dict[str, np.ndarray]): Category centers of the networks that have
            them, each of shape (C, D).
    """

    networks: List[str]
    teachers: Dict[str, str]
    test_images: int
    wrong: Dict[str, int]
    pairs: List[ConfusedPair]
    passes: Dict[str, int]
    previewed: Dict[str, List[PreviewedImage]]
    learned: Dict[str, List[PreviewedImage]]
    asked: Dict[str, List[int]]
    categories: List[str]
    matrices: Dict[str, np.ndarray]
    maps: Dict[str, FeatureMap]
    centers: Dict[str, np.ndarray]

    def correlations(self) -> Dict[str, np.ndarray]:
        """Correlations between the centers of each network.

        Returns:
            dict[str, np.ndarray]: A matrix of shape (C, C) each; a center whose entries
            are all the same correlates with none.
        """
        with np.errstate(invalid="ignore"):
            return {
                name: np.nan_to_num(np.corrcoef(rows))
                for name, rows in self.centers.items()
            }

    def likeness_to_teacher(self) -> Dict[str, float]:
        """How alike the students' correlations are to their teachers'.

        Returns:
            dict[str, float]: :func:`likeness` of each student, where it is defined;
            empty without a teacher that has centers.
        """
        found = self.correlations()
        values = {
            name: likeness(found[name], found[teacher])
            for name, teacher in self.teachers.items()
            if name in found and teacher in found
        }
        return {name: value for name, value in values.items() if value is not None}


def reason_of(fault: Exception) -> str:
    """Why a network cannot be run, in one line, by one of ``FAULTS``."""
    # The messages of these are but a name.
    kind = isinstance(fault, (AttributeError, KeyError))
    return first_line(fault, most=5000, kind=kind)


def compared_with(
    teachers: Sequence[str], learns_from: Mapping[str, str]
) -> Dict[str, str]:
    """The teacher that each student is compared with.

    Args:
        teachers (Sequence[str]): Names of the teachers.
        learns_from (Mapping[str, str]): Of each student the name of its teacher, who
            may be another one; empty of a student alone.

    Returns:
        dict[str, str]: Of each student its own, and the only one of a student alone.
    """
    only = teachers[0] if len(teachers) == 1 else ""
    compared = {name: own or only for name, own in learns_from.items()}
    return {name: own for name, own in compared.items() if own in teachers}


def likeness(one: np.ndarray, other: np.ndarray) -> Optional[float]:
    """Pearson correlation of two matrices' entries beside the diagonal.

    Args:
        one (np.ndarray): A symmetric matrix, shape (C, C).
        other (np.ndarray): Another one.

    Returns:
        float, optional: In [-1, 1]; None where the entries of one do not differ.
    """
    above = np.triu_indices(len(one), k=1)
    entries = np.stack([one[above], other[above]])
    if np.ptp(entries, axis=1).min() == 0:
        return None
    return float(np.corrcoef(entries)[0, 1])


def write_inspection(folder: Path, found: Inspected) -> None:
    """Write what was found.

    Args:
        folder (Path): Where to.
        found (Inspected): What was found.
    """
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    arrays: List[np.ndarray] = []

    def away(value: Any) -> Any:
        """Numbers of an array are in a file of their own, since they are many."""
        if isinstance(value, np.ndarray):
            arrays.append(value)
            return {_PLACE: len(arrays) - 1}
        if isinstance(value, FeatureMap):
            return away(value._asdict())
        if isinstance(value, dict):
            return {name: away(part) for name, part in value.items()}
        if isinstance(value, list):
            return [away(part) for part in value]
        is_made = is_dataclass(value) and not isinstance(value, type)
        return asdict(value) if is_made else value

    text = json.dumps(away(values)) + "\n"
    np.savez_compressed(folder / _ARRAYS, *arrays)
    write_whole(str(folder / RESULT), text.encode())


def read_inspection(folder: Path) -> Inspected:
    """Read what :func:`write_inspection` wrote.

    Args:
        folder (Path): Where it is.

    Returns:
        Inspected: What was found.
    """
    with np.load(folder / _ARRAYS) as file:
        arrays = [file[f"arr_{k}"] for k in range(len(file.files))]

    def back(entry: Dict[str, Any]) -> Any:
        return arrays[entry[_PLACE]] if set(entry) == {_PLACE} else entry

    text = (folder / RESULT).read_text(encoding="utf-8")
    values = json.loads(text, object_hook=back)
    values["pairs"] = [ConfusedPair(**pair) for pair in values["pairs"]]
    values["maps"] = {n: FeatureMap(**entry) for n, entry in values["maps"].items()}
    for key in ("previewed", "learned"):
        values[key] = {
            name: [PreviewedImage(**image) for image in images]
            for name, images in values[key].items()
        }
    return Inspected(**values)
