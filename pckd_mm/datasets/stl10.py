"""STL-10 from the binary files that its authors distribute."""

from pathlib import Path
from typing import Any, List, Optional

import numpy as np
from mmpretrain.datasets import BaseDataset

from pckd_mm.registry import DATASETS

from ._common import check_split
from .broken_files import read_lines, shortened

_SIDE = 96
_IMAGE_BYTES = 3 * _SIDE * _SIDE


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(
            f"STL10 finds no {path}; expected the files of stl10_binary.tar.gz: unpack "
            "it in data_root."
        )
    return path


def read_images(path: Path) -> np.ndarray:
    """Read the images of a file ``*_X.bin``.

    Each is 3 x 96 x 96 bytes, a channel after the other (red, green, blue), each
    channel column by column.

    Args:
        path (Path): The file.

    Returns:
        np.ndarray: RGB images, uint8, shape (N, 96, 96, 3).

    Raises:
        FileNotFoundError: Where there is no such file.
        ValueError: For a file that is no whole number of images.
    """
    values = np.fromfile(_existing(path), dtype=np.uint8)
    if len(values) == 0 or len(values) % _IMAGE_BYTES:
        raise ValueError(
            f"{path} has {len(values)} bytes; expected a multiple of {_IMAGE_BYTES}, "
            f"the bytes of an image of 3x{_SIDE}x{_SIDE}: fetch and unpack it again."
        )
    images = values.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 3, 2, 1)
    return np.ascontiguousarray(images)


@DATASETS.register_module()
class STL10(BaseDataset):
    """STL-10 (Coates et al., AISTATS 2011): 10 classes, RGB images of 96x96 pixels.

    The labelled images, 5,000 for training and 8,000 for testing. ``data_root`` holds
    the folder that ``stl10_binary.tar.gz`` unpacks to, with ``train_X.bin``,
    ``train_y.bin``, ``test_X.bin``, ``test_y.bin`` and ``class_names.txt``.

    Args:
        data_root (str): Folder that holds ``stl10_binary``.
        split (str): ``'train'`` or ``'test'``. Defaults to ``'train'``.
        metainfo (dict, optional): Meta information, such as names of the categories.
        **kwargs: Other arguments of :class:`mmpretrain.datasets.BaseDataset`.

    Raises:
        FileNotFoundError: Names the file that is missing.
        ValueError: For another split, and names a file that is truncated or does not
            fit the others.
    """

    METAINFO = {
        "classes": (
            *("airplane", "bird", "car", "cat", "deer"),
            *("dog", "horse", "monkey", "ship", "truck"),
        )
    }

    def __init__(
        self,
        data_root: str,
        split: str = "train",
        metainfo: Optional[dict] = None,
        **kwargs: Any,
    ) -> None:
        check_split("STL10", split, ("train", "test"))
        self.split = split
        kwargs.setdefault("test_mode", split == "test")
        super().__init__(
            ann_file="", data_root=str(data_root), metainfo=metainfo, **kwargs
        )

    def load_data_list(self) -> List[dict]:
        """Load the images of the split.

        Returns:
            list[dict]: ``img``, uint8 of shape (96, 96, 3), RGB, and ``gt_label``, 0
            to 9, of each image, in the order of the file.
        """
        folder = Path(self.data_root).expanduser() / "stl10_binary"
        self._check_names(folder / "class_names.txt")
        images = read_images(folder / f"{self.split}_X.bin")
        path = _existing(folder / f"{self.split}_y.bin")
        labels = np.fromfile(path, dtype=np.uint8)
        if len(labels) != len(images):
            raise ValueError(
                f"{path} has {len(labels)} labels and {self.split}_X.bin {len(images)} "
                "images; expected a label for each image: fetch and unpack both again."
            )
        categories = len(self.METAINFO["classes"])
        if labels.min() < 1 or labels.max() > categories:
            raise ValueError(
                f"{path} has labels from {labels.min()} to {labels.max()}; expected 1 "
                f"to {categories}: fetch and unpack it again."
            )
        return [
            dict(img=image, gt_label=int(label) - 1)
            for image, label in zip(images, labels, strict=True)
        ]

    def _check_names(self, path: Path) -> None:
        names = tuple(" ".join(read_lines(str(_existing(path)))).split())
        if names != self.METAINFO["classes"]:
            raise ValueError(
                f"{path} names the classes {shortened(names, 20)}; expected "
                f"{', '.join(self.METAINFO['classes'])}: fetch and unpack it again."
            )

    def extra_repr(self) -> List[str]:
        """Split and place, for the representation of the data set."""
        return [f"Split: \t{self.split} of {self.data_root}"]
