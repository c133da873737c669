"""What an inspection of trained classifiers found, in a file and read back."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, List, Optional

import numpy as np

from pckd_mm.utils.files import write_whole

__all__ = [
    "ConfusedPair",
    "Inspected",
    "PreviewedImage",
    "likeness",
    "read_inspection",
    "write_inspection",
]

RESULT = "inspection.json"
_CENTERS = "centers.npz"


@dataclass
class PreviewedImage:
    """A training image that was previewed.

    Args:
        label (str): Its category.
        epochs (int): Epochs in which its weight was below 1.
        mean_weight (float): Mean of its weights over the training.
        image (str): The image as a data: URI.
    """

    label: str
    epochs: int
    mean_weight: float
    image: str


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
        networks (list[str]): Names of the networks, the teacher's first.
        teacher (str, optional): Which of them is the teacher.
        test_images (int): Images of the test set.
        wrong (dict[str, int]): How many of them each network takes for another.
        pairs (list[ConfusedPair]): The most frequent confusions of the students.
        passes (dict[str, int]): Of each network with a preview the epochs counted.
        previewed (dict[str, list[PreviewedImage]]): Of these the training images that
            were previewed longest.
        centers (dict[str, np.ndarray]): Category centers of the networks that have
            them, each of shape (C, D).
    """

    networks: List[str]
    teacher: Optional[str]
    test_images: int
    wrong: Dict[str, int]
    pairs: List[ConfusedPair]
    passes: Dict[str, int]
    previewed: Dict[str, List[PreviewedImage]]
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
        """How alike the students' correlations are to the teacher's.

        Returns:
            dict[str, float]: :func:`likeness` of each student, where it is defined;
            empty without a teacher that has centers.
        """
        found = self.correlations()
        if self.teacher not in found:
            return {}
        teacher = found.pop(self.teacher)
        values = {name: likeness(matrix, teacher) for name, matrix in found.items()}
        return {name: value for name, value in values.items() if value is not None}


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
    values = asdict(found)
    centers = values.pop("centers")
    # Names of networks may be none that an archive takes.
    values["centers"] = list(centers)
    np.savez_compressed(folder / _CENTERS, *centers.values())
    write_whole(str(folder / RESULT), (json.dumps(values) + "\n").encode())


def read_inspection(folder: Path) -> Inspected:
    """Read what :func:`write_inspection` wrote.

    Args:
        folder (Path): Where it is.

    Returns:
        Inspected: What was found.
    """
    values = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    with np.load(folder / _CENTERS) as file:
        arrays = [file[f"arr_{k}"] for k in range(len(values["centers"]))]
    values["centers"] = dict(zip(values["centers"], arrays, strict=True))
    values["pairs"] = [ConfusedPair(**pair) for pair in values["pairs"]]
    values["previewed"] = {
        name: [PreviewedImage(**image) for image in images]
        for name, images in values["previewed"].items()
    }
    return Inspected(**values)
