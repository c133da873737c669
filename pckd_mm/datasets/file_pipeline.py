"""From an image file to a network's input, as tools that predict files do it."""

import logging
from typing import List, Optional

import numpy as np
import torch
from mmcv.image import imread
from mmcv.transforms import Compose
from mmengine.logging import print_log
from mmpretrain.datasets import remove_transform
from torch import Tensor

from pckd_mm.registry import TRANSFORMS
from pckd_mm.utils.printable import first_line, printable

# Height, width and channels of an image that is no data set's, to try a pipeline on.
_TRIED = (40, 56, 3)


class FilePipeline:
    """A pipeline of files, beside one of a data set, which may hold arrays.

    Args:
        steps (list[dict]): Configs of transforms, from ``LoadImageFromFile`` to
            ``PackInputs``.
    """

    def __init__(self, steps: List[dict]) -> None:
        # Such tools decode by themselves.
        steps = remove_transform(steps, "LoadImageFromFile")
        self._steps = Compose([TRANSFORMS.build(step) for step in steps])

    def compare(self, dataset: str, image: Tensor, path: Optional[str] = None) -> None:
        """Warn where it does not make of a file what the data set makes of it.

        Args:
            dataset (str): Name of the data set.
            image (Tensor): An image of the data set, shape (C, H, W).
            path (str, optional): The image's file; None where there is none, and only
                shapes can be compared. Defaults to None.
        """
        problem = self._difference(image, path)
        if problem is not None:
            print_log(
                f"InMemoryDataset found a pipeline that {problem}; expected what "
                f"{dataset}'s own does, of {_shape(image)}, since tools such as "
                "mmpretrain's inferencer predict files by it: set pipeline beside "
                "dataset to the steps from a file to the network's input.",
                logger="current",
                level=logging.WARNING,
            )

    def _difference(self, image: Tensor, path: Optional[str]) -> Optional[str]:
        decoded = np.zeros(_TRIED, np.uint8) if path is None else imread(path)
        size = decoded.shape[:2]
        try:
            made = self._steps(dict(img=decoded, img_shape=size, ori_shape=size))
            made = made["inputs"]
        except Exception as error:  # of whatever the steps are
            return f"fails with {first_line(error)}"
        if made.shape != image.shape:
            return f"makes inputs of {_shape(made)}"
        if path is not None and not torch.equal(made.float(), image.float()):
            return f"makes other pixels of {printable(path)}"
        return None


def _shape(image: Tensor) -> str:
    return "x".join(map(str, image.shape))
