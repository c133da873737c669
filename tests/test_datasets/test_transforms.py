"""Crops for views, against MMPretrain's crop with the same draws."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from mmpretrain.datasets import RandomResizedCrop

from pckd_mm.datasets import RandomResizedCropViews
from pckd_mm.models.data_preprocessors import RotatedViewsDataPreprocessor
from pckd_mm.registry import DATASETS, TRANSFORMS
from tests.builders import image_folder

IMAGE = np.random.RandomState(0).randint(0, 256, (41, 60, 3)).astype(np.uint8)


def test_each_view_is_a_crop_of_its_own():
    np.random.seed(3)
    given = dict(img=IMAGE.copy(), gt_label=2)
    found = RandomResizedCropViews(num_views=4, scale=16)(given)
    np.random.seed(3)
    plain = RandomResizedCrop(scale=16)
    for view in range(4):
        expected = plain(dict(img=IMAGE.copy()))["img"]
        assert np.array_equal(found["img"][view], np.moveaxis(expected, -1, 0))
    assert len(np.unique(found["img"].reshape(4, -1), axis=0)) == 4
    assert found["img"].shape == (4, 3, 16, 16) and found["img"].dtype == np.uint8
    assert found["img_shape"] == (16, 16) and found["gt_label"] == 2


def test_other_sizes_and_channels():
    grey = IMAGE[..., :1]
    found = RandomResizedCropViews(num_views=2, scale=(8, 12))(dict(img=grey))
    assert found["img"].shape == (2, 1, 8, 12)
    assert RandomResizedCropViews()(dict(img=IMAGE))["img"].shape == (1, 3, 224, 224)


def test_range_of_crops_is_passed_on():
    whole = RandomResizedCropViews(
        num_views=2,
        scale=60,
        crop_ratio_range=(1.0, 1.0),
        aspect_ratio_range=(60 / 41, 60 / 41),
    )(dict(img=IMAGE))["img"]
    expected = cv2.resize(IMAGE, (60, 60)).transpose(2, 0, 1)
    assert all(np.array_equal(crop, expected) for crop in whole)


def test_refuses_no_view():
    with pytest.raises(ValueError, match="num_views=0; expected 1 or more"):
        RandomResizedCropViews(num_views=0)


def test_built_from_registry_and_named():
    crops = TRANSFORMS.build(
        dict(type="pckd_mm.RandomResizedCropViews", num_views=3, scale=8)
    )
    assert isinstance(crops, RandomResizedCropViews)
    assert repr(crops).startswith("RandomResizedCropViews(scale=(8, 8)")
    assert repr(crops).endswith("num_views=3)")


@pytest.mark.parametrize("size", [8, 33])
def test_from_files_to_turned_views(tmp_path, size):
    """Dataset, loader's collation, preprocessor: view r is crop r, r quarter turns."""
    dataset = DATASETS.build(
        dict(
            type="mmpretrain.CustomDataset",
            data_root=str(image_folder(tmp_path, images=2, size=size)),
            data_prefix="train",
            pipeline=[
                dict(type="mmpretrain.LoadImageFromFile"),
                dict(type="pckd_mm.RandomResizedCropViews", num_views=4, scale=8),
                dict(type="mmpretrain.PackInputs"),
            ],
        )
    )
    items = [dataset[0], dataset[5]]
    batch = default_collate(items)
    assert batch["inputs"].shape == (2, 4, 3, 8, 8)
    assert batch["inputs"].dtype == torch.uint8
    preprocessor = RotatedViewsDataPreprocessor(flip_prob=0, crop_padding=0)
    views = preprocessor(batch, training=True)["inputs"].numpy()
    for image in range(2):
        for turn in range(4):
            crop = items[image]["inputs"][turn].numpy()
            expected = np.rot90(crop, turn, axes=(1, 2))
            assert np.array_equal(views[4 * image + turn], expected)
