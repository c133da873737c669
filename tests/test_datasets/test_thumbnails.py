"""Small pictures of the images of data sets."""

import base64

import cv2
import numpy as np
import pytest
from mmengine.dataset import BaseDataset

from pckd_mm.datasets.thumbnails import raw_image, thumbnail

RED = np.zeros((2, 3, 3), dtype=np.uint8)
RED[..., 0] = 255


class Held(BaseDataset):
    """A data set of one image."""

    def __init__(self, **info):
        self.info = info
        super().__init__()

    def load_data_list(self):
        return [self.info]


class CIFAR10(Held):
    """Called as one that holds RGB."""


def pixels_of(uri):
    head, _, content = uri.partition(",")
    assert head == "data:image/png;base64"
    data = np.frombuffer(base64.b64decode(content), dtype=np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def test_colours_are_kept(tmp_path):
    path = tmp_path / "red.png"
    cv2.imwrite(str(path), RED[..., ::-1])
    for dataset in (CIFAR10(img=RED), Held(img_path=str(path))):
        assert np.array_equal(raw_image(dataset, 0), RED)
        assert np.array_equal(pixels_of(thumbnail(dataset, 0)), RED)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1)])
def test_grey_is_shown_in_grey(shape):
    image = np.arange(6, dtype=np.uint8).reshape(shape)
    found = pixels_of(thumbnail(Held(img=image), 0))
    assert np.array_equal(found, np.repeat(image.reshape(2, 3, 1), 3, axis=2))


def test_large_ones_become_small():
    image = np.full((100, 200, 3), 7, dtype=np.uint8)
    found = pixels_of(thumbnail(CIFAR10(img=image), 0))
    assert found.shape == (32, 64, 3) and (found == 7).all()
