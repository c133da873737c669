"""Small pictures of the images of a data set, for pages."""

import cv2
import mmcv
import numpy as np
from mmengine.dataset import BaseDataset

from pckd_mm.utils.data_uri import data_uri

from .image_format import channel_order

__all__ = ["raw_image", "thumbnail"]

# Pixels of the longer side.
_SIDE = 64


def raw_image(dataset: BaseDataset, place: int) -> np.ndarray:
    """An image of a data set as it is, before its pipeline.

    Args:
        dataset (BaseDataset): One of MMEngine's, without wrappers, that holds arrays or
            names files.
        place (int): Place of the image.

    Returns:
        np.ndarray: RGB, uint8, shape (H, W, 3).
    """
    info = dataset.get_data_info(place)
    if "img" not in info:
        return mmcv.imread(info["img_path"], channel_order="rgb")
    image = np.asarray(info["img"])
    if image.ndim == 2 or image.shape[2] == 1:
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    return image[..., ::-1] if channel_order(dataset) == "bgr" else image


def thumbnail(dataset: BaseDataset, place: int) -> str:
    """A small picture of an image.

    Args:
        dataset (BaseDataset): As for :func:`raw_image`.
        place (int): Place of the image.

    Returns:
        str: A PNG file as a data: URI, at most 64 pixels high and wide.
    """
    image = raw_image(dataset, place)
    height, width = image.shape[:2]
    if max(height, width) > _SIDE:
        image = mmcv.imrescale(image, (_SIDE, _SIDE), interpolation="area")
    return png_uri(image)


def png_uri(image: np.ndarray) -> str:
    """A picture as a data: URI.

    Args:
        image (np.ndarray): RGB, uint8, shape (H, W, 3).

    Returns:
        str: A PNG file.
    """
    _, content = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))
    return data_uri(content.tobytes())
