"""Training images that were previewed, and what became of them."""

from typing import Callable, Dict, List, NamedTuple, Sequence

import numpy as np
from mmengine.dataset import BaseDataset

from pckd_mm.datasets.thumbnails import thumbnail

from .inspection import PreviewedImage

__all__ = ["ASKED", "What", "category_names", "look_back", "longest_previewed"]

# Images that the trained network is asked about.
ASKED = 512


class What(NamedTuple):
    """What became of the images that were previewed longest.

    Attributes:
        longest (list[PreviewedImage]): The first of them.
        learned (list[PreviewedImage]): The first that the trained network names right.
        asked (int): How many it was asked about.
        right (int): How many of these it names right.
    """

    longest: List[PreviewedImage]
    learned: List[PreviewedImage]
    asked: int
    right: int


def category_names(dataset: BaseDataset, total: int) -> List[str]:
    """Names of the categories, their numbers where the data set has none."""
    names = dataset.metainfo.get("classes")
    return [str(name) for name in (names or range(total))]


def longest_previewed(counts: Dict[str, np.ndarray], most: int = ASKED) -> List[int]:
    """The images that were previewed in most epochs, then by the least weight.

    Args:
        counts (dict[str, np.ndarray]): What PreviewRecordHook counted.
        most (int): How many images at most. Defaults to 512.

    Returns:
        list[int]: Their places; none that was never previewed.
    """
    order = np.lexsort((_mean_weight(counts), -counts["previewed"]))
    return [place for place in order[:most].tolist() if counts["previewed"][place]]


def look_back(
    counts: Dict[str, np.ndarray],
    dataset: BaseDataset,
    ask: Callable[[Sequence[int]], Sequence[int]],
    most: int,
) -> What:
    """Ask the trained network about the images that were previewed longest.

    Args:
        counts (dict[str, np.ndarray]): What PreviewRecordHook counted.
        dataset (BaseDataset): The training set, without wrappers.
        ask (Callable): Gives the network's category of the images at some places.
        most (int): How many images are shown of each kind.

    Returns:
        What: What became of them.
    """
    places = longest_previewed(counts)
    labels = [int(np.ravel(dataset.get_data_info(p)["gt_label"])[0]) for p in places]
    answers = [int(answer) for answer in ask(places)] if places else []
    names = category_names(dataset, 1 + max([0, *labels, *answers]))
    weights = _mean_weight(counts)

    def shown(index: int) -> PreviewedImage:
        place = places[index]
        return PreviewedImage(
            names[labels[index]],
            int(counts["previewed"][place]),
            float(weights[place]),
            thumbnail(dataset, place),
            names[answers[index]],
        )

    right = [i for i in range(len(places)) if answers[i] == labels[i]]
    return What(
        [shown(index) for index in range(min(most, len(places)))],
        [shown(index) for index in right[:most]],
        len(places),
        len(right),
    )


def _mean_weight(counts: Dict[str, np.ndarray]) -> np.ndarray:
    return counts["weight_sum"] / np.maximum(counts["seen"], 1)
