"""Order of channels and size of images, read off data sets and their configs."""

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.hub import get_config
from mmpretrain.datasets import CIFAR100
from mmpretrain.registry import DATASETS as MMPRETRAIN_DATASETS

from pckd_mm.datasets.image_format import (
    channel_order,
    image_size,
    pixel_transform,
)
from pckd_mm.registry import DATASETS
from tests.builders import CONFIGS

LOAD = dict(type="LoadImageFromFile")


def folder(*pipeline: dict) -> dict:
    return dict(type="CustomDataset", data_root="data", pipeline=list(pipeline))


def shipped(name: str) -> dict:
    path = CONFIGS / "_base_" / "datasets" / f"{name}.py"
    return Config.fromfile(path).test_dataloader.dataset


@pytest.mark.parametrize(
    "name, order, size",
    [
        ("cifar100", "rgb", (32, 32)),
        ("cifar100_folder", "bgr", None),
        ("digits", "gray", (8, 8)),
        ("letters", "gray", (16, 16)),
        ("imagenet", "bgr", (224, 224)),
        ("stl10", "rgb", (32, 32)),
        ("tiny_imagenet", "bgr", (32, 32)),
        ("transfer_folder", "bgr", (32, 32)),
    ],
)
def test_data_sets_of_this_repository(name, order, size):
    # to_rgb is True where the images are BGR, and nowhere else.
    cfg = Config.fromfile(CONFIGS / "_base_" / "datasets" / f"{name}.py")
    assert cfg.data_preprocessor.to_rgb is (order == "bgr")
    assert channel_order(shipped(name)) == order
    assert image_size(shipped(name)) == size


def test_data_sets_of_mmpretrain():
    for name, order, size in [
        ("resnet/resnet18_8xb16_cifar10.py", "rgb", (32, 32)),
        ("inception_v3/inception-v3_8xb32_in1k.py", "bgr", (299, 299)),
        ("lenet/lenet5_mnist.py", "gray", (32, 32)),
    ]:
        dataset = get_config(f"mmpretrain::{name}").test_dataloader.dataset
        assert (channel_order(dataset), image_size(dataset)) == (order, size)


@pytest.mark.parametrize(
    "pipeline, order",
    [
        ([LOAD], "bgr"),
        ([dict(LOAD, type="mmcv.LoadImageFromFile")], "bgr"),
        ([dict(LOAD, imdecode_backend="pillow")], "bgr"),
        ([dict(LOAD, color_type="grayscale")], "gray"),
        ([dict(LOAD, color_type="unchanged")], None),
        ([LOAD, dict(type="NumpyToPIL", to_rgb=True)], "rgb"),
        (
            [
                LOAD,
                dict(type="ToPIL", to_rgb=True),
                dict(type="torchvision/RandomGrayscale"),
                dict(type="ToNumpy", to_bgr=True),
            ],
            "bgr",
        ),
        # What other transforms call so is not about the image that they give.
        ([LOAD, dict(type="Lighting", to_rgb=True)], "bgr"),
        ([dict(type="MyLoader")], None),
        ([], None),
    ],
)
def test_order_follows_the_pipeline(pipeline, order):
    assert channel_order(folder(*pipeline)) == order


def test_pillow_decodes_to_opencvs_order(tmp_path):
    from mmcv.transforms import LoadImageFromFile

    image = np.full((4, 4, 3), (10, 20, 30), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    load = LoadImageFromFile(imdecode_backend="pillow")
    assert load(dict(img_path=str(tmp_path / "a.png")))["img"][0, 0].tolist() == [
        10,
        20,
        30,
    ]


@pytest.mark.parametrize(
    "pipeline, size",
    [
        ([LOAD, dict(type="CenterCrop", crop_size=7)], (7, 7)),
        ([LOAD, dict(type="CenterCrop", crop_size=(8, 6))], (6, 8)),
        ([LOAD, dict(type="EfficientNetCenterCrop", crop_size=9)], (9, 9)),
        ([LOAD, dict(type="Resize", scale=(8, 6))], (6, 8)),
        ([LOAD, dict(type="Resize", scale=(8, 6), keep_ratio=True)], None),
        ([LOAD, dict(type="Resize", scale_factor=2.0)], None),
        ([LOAD, dict(type="ResizeEdge", scale=8)], None),
        ([LOAD], None),
    ],
)
def test_size_is_where_the_pipeline_ends(pipeline, size, tmp_path):
    assert image_size(folder(*pipeline)) == size
    if size is None:
        return
    # What the pipeline gives.
    dataset = built(tmp_path, *pipeline)
    assert dataset[0]["img"].shape[:2] == size
    assert image_size(dataset) == size and channel_order(dataset) == "bgr"


def test_built_data_sets_and_wrappers():
    built = DATASETS.build(shipped("digits"))
    assert channel_order(built) == "gray" and image_size(built) == (8, 8)
    first, second = folder(LOAD), dict(type="CIFAR100", pipeline=[])
    both = dict(type="ConcatDataset", datasets=[first, second])
    repeated = dict(type="RepeatDataset", times=2, dataset=second)
    assert channel_order(both) is None
    assert channel_order(repeated) == "rgb" and image_size(repeated) == (32, 32)


def test_subclass_of_a_known_data_set():
    class Mine(CIFAR100):
        def __init__(self):
            pass

    assert channel_order(Mine()) == "rgb"
    assert channel_order(dict(type=CIFAR100)) == "rgb"
    assert channel_order(dict(type="Mine")) is None


NORMALIZE = dict(mean=[0.0] * 3, std=[1.0] * 3)


@pytest.mark.parametrize(
    "transform, name",
    [
        (dict(type="Normalize", **NORMALIZE), "Normalize"),
        (dict(type="mmcv.Normalize", **NORMALIZE), "Normalize"),
        (dict(type="torchvision/Normalize", **NORMALIZE), "Normalize"),
        (dict(type="mmpretrain.torchvision/ToTensor"), "torchvision/ToTensor"),
        (
            dict(type="torchvision/ConvertImageDtype", dtype="float"),
            "torchvision/ConvertImageDtype",
        ),
        # mmcv's of this name leaves the numbers as they are.
        (dict(type="ToTensor", keys=["img"]), None),
        (dict(type="torchvision/PILToTensor"), None),
    ],
)
def test_transforms_that_change_pixels(transform, name, tmp_path):
    inside = dict(type="RandomApply", transforms=[transform], prob=0.5)
    for pipeline in ([LOAD, transform], [LOAD, inside]):
        dataset = folder(*pipeline)
        assert pixel_transform(dataset) == name
        assert pixel_transform(dict(type="RepeatDataset", dataset=dataset)) == name
    assert pixel_transform(folder(LOAD)) is None
    assert pixel_transform(built(tmp_path, transform)) == name


def built(tmp_path, *pipeline: dict):
    """A data set of mmpretrain, with images of 20 x 30 pixels."""
    for label in "ab":
        (tmp_path / label).mkdir()
        cv2.imwrite(str(tmp_path / label / "a.png"), np.zeros((20, 30, 3), np.uint8))
    config = dict(folder(*pipeline), data_root=str(tmp_path))
    return MMPRETRAIN_DATASETS.build(dict(config, type="mmpretrain.CustomDataset"))


def height_and_width(image) -> tuple:
    return tuple(image.size[::-1]) if hasattr(image, "getbands") else image.shape[:2]


TO_PIL = dict(type="NumpyToPIL", to_rgb=True)


@pytest.mark.parametrize(
    "pipeline, size",
    [
        ([LOAD, TO_PIL, dict(type="torchvision/CenterCrop", size=7)], (7, 7)),
        ([LOAD, TO_PIL, dict(type="torchvision/CenterCrop", size=(8, 6))], (8, 6)),
        ([LOAD, TO_PIL, dict(type="torchvision/RandomCrop", size=(8, 6))], (8, 6)),
        ([LOAD, TO_PIL, dict(type="torchvision/RandomResizedCrop", size=9)], (9, 9)),
        ([LOAD, TO_PIL, dict(type="torchvision/Resize", size=(8, 6))], (8, 6)),
        # The shorter edge, and what follows for a square.
        ([LOAD, TO_PIL, dict(type="torchvision/Resize", size=8)], None),
        (
            [
                LOAD,
                dict(type="CenterCrop", crop_size=7),
                TO_PIL,
                dict(type="torchvision/Resize", size=12),
            ],
            (12, 12),
        ),
        (
            [
                LOAD,
                dict(type="CenterCrop", crop_size=7),
                dict(type="ResizeEdge", scale=12),
            ],
            (12, 12),
        ),
        ([LOAD, dict(type="RandomCrop", crop_size=(8, 6))], (8, 6)),
        ([LOAD, dict(type="RandomResizedCrop", scale=(8, 6))], (8, 6)),
        (
            [
                LOAD,
                TO_PIL,
                dict(type="torchvision/CenterCrop", size=7),
                dict(type="torchvision/RandomHorizontalFlip"),
                dict(type="PILToNumpy", to_bgr=True),
            ],
            (7, 7),
        ),
        # Who knows what that does.
        (
            [
                LOAD,
                dict(type="CenterCrop", crop_size=7),
                TO_PIL,
                dict(type="torchvision/Pad", padding=1),
            ],
            None,
        ),
        (
            [
                LOAD,
                dict(type="CenterCrop", crop_size=9),
                dict(
                    type="RandomApply",
                    transforms=[dict(type="CenterCrop", crop_size=7)],
                    prob=0.5,
                ),
            ],
            None,
        ),
    ],
)
def test_size_follows_torchvision_and_others(pipeline, size, tmp_path):
    assert image_size(folder(*pipeline)) == size
    dataset = built(tmp_path, *pipeline)
    assert image_size(dataset) == size
    if size is not None:
        assert height_and_width(dataset[0]["img"]) == size


def test_size_of_arrays_that_are_resized():
    def cifar(*pipeline):
        return image_size(dict(type="CIFAR10", pipeline=list(pipeline)))

    resize = dict(type="torchvision/Resize", size=224)
    assert cifar(TO_PIL, resize, dict(type="PackInputs")) == (224, 224)
    compose = dict(type="Compose", transforms=[TO_PIL, resize])
    assert cifar(compose, dict(type="PackInputs")) == (224, 224)
    assert cifar(dict(type="MyTransform")) is None
    assert cifar(dict(type="RandomCrop", crop_size=32, padding=4)) == (32, 32)
