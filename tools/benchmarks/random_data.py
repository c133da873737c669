"""Random images in the place of a config's data set."""

import os
import os.path as osp
from typing import Any, Callable, List, Tuple

import cv2
import numpy as np
from mmengine.config import Config, ConfigDict
from mmpretrain.datasets import BaseDataset

from pckd_mm.registry import DATASETS, TRANSFORMS
from plain_program import FourViews

PHOTO = (375, 500)  # height and width in pixels of a usual photo of ImageNet


@DATASETS.register_module()
class RandomImages(BaseDataset):
    """Random pixels in memory, as CIFAR-100 is.

    Args:
        images (int): How many.
        **kwargs: Other arguments of :class:`mmpretrain.datasets.BaseDataset`.
    """

    METAINFO = {"classes": tuple(map(str, range(100)))}

    def __init__(self, images: int, **kwargs: Any) -> None:
        self.images = images
        super().__init__(ann_file="", **kwargs)

    def load_data_list(self) -> List[dict]:
        """The images, uint8 of shape (32, 32, 3), and their labels."""
        pixels = np.random.RandomState(0).randint(
            256, size=(self.images, 32, 32, 3), dtype=np.uint8
        )
        return [
            dict(img=image, gt_label=index % 100) for index, image in enumerate(pixels)
        ]


def write_photos(folder: str, images: int) -> None:
    """JPEG files of smooth noise in folders of two classes."""
    rng = np.random.RandomState(0)
    for index in range(images):
        path = osp.join(folder, str(index % 2), f"{index}.jpg")
        os.makedirs(osp.dirname(path), exist_ok=True)
        blurred = rng.randint(256, size=(PHOTO[0] // 8, PHOTO[1] // 8, 3))
        cv2.imwrite(path, cv2.resize(blurred.astype(np.uint8), PHOTO[::-1]))


def use_random_data(cfg: Config, folder: str, images: int, workers: int) -> FourViews:
    """Replace the training images of a config.

    Args:
        cfg (Config): Config of a distillation of classifiers, changed in place.
        folder (str): For images that the config reads from files.
        images (int): How many.
        workers (int): Of the data loader, where it has any.

    Returns:
        FourViews: The same images for the plain program.
    """
    loader = cfg.train_dataloader
    if loader.num_workers:
        loader.num_workers = workers
    data = loader.dataset
    while "dataset" in data:
        data = data.dataset
    pipeline = data.pipeline
    data.clear()
    data.pipeline = pipeline
    normalise = dict(mean=cfg.data_preprocessor.mean, std=cfg.data_preprocessor.std)
    if pipeline[0].type == "LoadImageFromFile":
        if not osp.isdir(folder):
            write_photos(folder, images)
        data.update(type="CustomDataset", data_root=folder)
        read, labels = _files(folder)
        return FourViews(
            read, labels, **normalise, crop=_crop(pipeline), crop_first=True
        )
    data.update(type="pckd_mm.RandomImages", images=images)
    listed = RandomImages(images).load_data_list()
    labels = np.array([entry["gt_label"] for entry in listed])
    return FourViews(lambda index: listed[index]["img"], labels, **normalise)


def _files(folder: str) -> Tuple[Callable[[int], np.ndarray], np.ndarray]:
    paths = [
        osp.join(folder, label, name)
        for label in sorted(os.listdir(folder))
        for name in sorted(os.listdir(osp.join(folder, label)))
    ]
    labels = np.array([int(osp.basename(osp.dirname(path))) for path in paths])

    def read(index: int) -> np.ndarray:
        image = cv2.imread(paths[index])
        assert image is not None  # written by this program
        return image[:, :, ::-1]

    return read, labels


def _crop(pipeline: List[ConfigDict]) -> Callable[[np.ndarray], np.ndarray]:
    transform = TRANSFORMS.build(
        dict(type="mmpretrain.RandomResizedCrop", scale=pipeline[1].scale)
    )
    return lambda image: transform(dict(img=np.ascontiguousarray(image)))["img"]
