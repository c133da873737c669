"""The handwritten digits that come with scikit-learn."""

from typing import Any, List, Optional, Tuple

import numpy as np
from mmpretrain.datasets import BaseDataset

from pckd_mm.registry import DATASETS

from ._common import check_split


def _load_digits() -> Tuple[np.ndarray, np.ndarray]:
    """Images (1797, 8, 8) of values 0 to 16, and labels (1797,), in file order."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "DigitsDataset reads the digits that come with scikit-learn, which is not "
            "installed: pip install scikit-learn"
        ) from error
    digits = load_digits()
    return digits.images, digits.target


@DATASETS.register_module()
class DigitsDataset(BaseDataset):
    """Handwritten digits 0 to 8, grey images of 8x8 pixels; nothing to download.

    The 1,797 images of scikit-learn's ``load_digits`` (test part of UCI's "Optical
    Recognition of Handwritten Digits") without the 180 nines: a nine is a six upside
    down, and PCKD gives all four rotated views of an image the same label.

    The split is fixed: of each digit the first ``train_per_class`` images in the order
    of the file are for training and all others for testing. The file goes from writer
    to writer, so most digits of the test were written by people who are not in the
    training set.

    Args:
        split (str): ``'train'`` or ``'test'``. Defaults to ``'train'``.
        train_per_class (int): Training images of each digit, 1 to 173. Defaults to
            50, which makes 450 images for training and 1,167 for testing.
        metainfo (dict, optional): Meta information, such as names of the categories.
        **kwargs: Other arguments of :class:`mmpretrain.datasets.BaseDataset`.

    Raises:
        ImportError: Where scikit-learn is missing.
        ValueError: For another split, or a number that leaves a digit without images.
    """

    METAINFO = {"classes": tuple("012345678")}

    def __init__(
        self,
        split: str = "train",
        train_per_class: int = 50,
        metainfo: Optional[dict] = None,
        **kwargs: Any,
    ) -> None:
        check_split("DigitsDataset", split, ("train", "test"))
        self.split = split
        self.train_per_class = train_per_class
        kwargs.setdefault("test_mode", split == "test")
        super().__init__(ann_file="", metainfo=metainfo, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Load the images of the split.

        Returns:
            list[dict]: ``img``, uint8 of shape (8, 8, 1), and ``gt_label`` of each
            image, in the order of the file.
        """
        images, labels = _load_digits()
        images = np.rint(images * (255 / 16)).astype(np.uint8)[..., None]
        categories = len(self.METAINFO["classes"])
        fewest = np.bincount(labels)[:categories].min()
        if not 1 <= self.train_per_class < fewest:
            raise ValueError(
                f"DigitsDataset found train_per_class={self.train_per_class}; expected "
                f"1 to {fewest - 1}, so that both splits have images of every digit."
            )
        chosen = []
        for category in range(categories):
            rows = np.flatnonzero(labels == category)
            first, rest = np.split(rows, [self.train_per_class])
            chosen.append(first if self.split == "train" else rest)
        return [
            dict(img=images[row], gt_label=int(labels[row]))
            for row in np.sort(np.concatenate(chosen))
        ]

    def extra_repr(self) -> List[str]:
        """Split and its size, for the representation of the data set."""
        return [f"Split: \t{self.split}, {self.train_per_class} per digit for training"]
