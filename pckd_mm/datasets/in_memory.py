"""Small images that stay in memory, and batches of them without work per image."""

from typing import Any, List, Optional, Tuple, Union

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.utils.data import Dataset

from pckd_mm.registry import DATASETS
from pckd_mm.utils.devices import send
from pckd_mm.utils.nested_datasets import inner_datasets
from pckd_mm.utils.randomness import isolated_randomness

from .file_pipeline import FilePipeline
from .read_once import name_of, read_once, shape_of


def _test_mode(dataset: BaseDataset) -> bool:
    """That of a data set, or of those in a wrapper."""
    modes = {bool(getattr(d, "test_mode", False)) for d in inner_datasets(dataset)}
    if len(modes) > 1:
        raise ValueError(
            f"InMemoryDataset found a {type(dataset).__name__} of data sets with "
            "test_mode=True and False; expected the same in all of them: False for "
            "training, True for testing."
        )
    return modes == {True}


def _fields(names: List[str]) -> str:
    return ", ".join(names) or "no label"


@DATASETS.register_module()
class InMemoryDataset(Dataset):
    """Run a data set's pipeline once, and hand out whole batches of its images.

    For images of one small size whose pipeline draws nothing at random; the data
    preprocessor augments, on the device. All images lie in one uint8 tensor, so that a
    batch is one look-up and no Python runs for each image. The data loader needs
    ``collate_fn=dict(type='pckd_mm.collate_batches')`` and no workers; where it has
    some, they share the memory of the process that forked them. Every process of a
    distributed run keeps images of its own.

    In training (the data set's ``test_mode`` is False) the ``data_samples`` of a batch
    are one sample: its ``gt_label`` has the labels of all images and its
    ``sample_idx`` their places; other meta information is left out. Where images have
    several labels or none, and in testing, they are one for each image, as ever: the
    data set of ``val_dataloader`` and ``test_dataloader`` must have ``test_mode=True``.

    Args:
        dataset (dict | BaseDataset): A data set for classification, or its config,
            whose pipeline ends in ``PackInputs``.
        pipeline (list[dict], optional): In testing, what tools that predict files do
            with one, as MMPretrain's inferencer, which looks for it in
            ``test_dataloader.dataset.pipeline``. The data set goes through its own
            pipeline alone, which differs where it holds arrays. A warning tells where
            the two do not make inputs alike. Defaults to None, none.

    Raises:
        TypeError: For settings of the data set inside that are given to this one, and
            for a ``pipeline`` in training.
        ValueError: For data sets in a wrapper that differ in ``test_mode``.
        ValueError: When the images are read, which ``full_init`` or the first batch
            does: for a pipeline that draws random numbers, images that are not uint8
            or differ in shape, training images of which only some have a label, no
            images, or more than the memory holds.
    """

    def __init__(
        self,
        dataset: Union[dict, BaseDataset],
        pipeline: Optional[List[dict]] = None,
        **unknown: Any,
    ) -> None:
        if isinstance(dataset, dict):
            dataset = DATASETS.build(dataset)
        if pipeline is not None and not _test_mode(dataset):
            raise TypeError(
                "InMemoryDataset found a pipeline beside a data set with test_mode="
                "False; expected test_mode=True in that data set for testing, and the "
                "pipeline in that data set for training, as "
                "train_dataloader.dataset.dataset.pipeline."
            )
        if unknown:
            name = next(iter(unknown))
            raise TypeError(
                f"InMemoryDataset found the setting {name}; expected dataset alone: "
                f"set {name} of the data set inside, as in "
                f"train_dataloader.dataset.dataset.{name}."
            )
        self.dataset: BaseDataset = dataset
        self._of_files = None if pipeline is None else FilePipeline(pipeline)
        self._kept: Optional[Tensor] = None  # the images, once they are read
        # For training, labels and places of the images; else a sample of each.
        self._labels: Optional[Tuple[Tensor, Tensor]] = None
        self._samples: List[DataSample] = []
        self.device = torch.device("cpu")

    @property
    def metainfo(self) -> dict:
        """dict: Meta information of the data set, such as its classes."""
        return self.dataset.metainfo

    @property
    def test_mode(self) -> bool:
        """bool: Whether batches have a data sample for each image."""
        return _test_mode(self.dataset)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        """An image by itself, by the data set's own pipeline.

        Args:
            index (int): Place of the image.

        Returns:
            dict: ``inputs``, shape (C, H, W), and ``data_samples``, one sample.
        """
        return self.dataset[index]

    def __getitems__(self, indices: List[int]) -> dict:
        """A batch; torch's data loader asks for it.

        Args:
            indices (list[int]): Places of B images.

        Returns:
            dict: ``inputs``, uint8, shape (B, C, H, W), and ``data_samples``, a list:
            in training of one sample for all images, in testing of one for each.
        """
        images = self._all_images()
        rows = send(torch.tensor(indices, dtype=torch.long), self.device)
        inputs = images.index_select(0, rows)
        if self._labels is None:
            # New ones, since predictions are written into them.
            samples = [self._samples[index].new() for index in indices]
        else:
            labels, places = (each.index_select(0, rows) for each in self._labels)
            sample = DataSample(metainfo=dict(sample_idx=places))
            samples = [sample.set_gt_label(labels)]
        return dict(inputs=inputs, data_samples=samples)

    def get_gt_labels(self) -> np.ndarray:
        """Labels of all images.

        Returns:
            np.ndarray: Whole numbers, shape (N,).
        """
        if self._labels is None:  # not read yet, or not one of each image
            return self.dataset.get_gt_labels()
        return self._labels[0].cpu().numpy().copy()

    def get_cat_ids(self, idx: int) -> List[int]:
        """Categories of an image, as MMEngine's ``ClassBalancedDataset`` asks for them.

        Args:
            idx (int): Place of the image.

        Returns:
            list[int]: Its label.
        """
        return self.dataset.get_cat_ids(idx)

    def get_data_info(self, idx: int) -> dict:
        """What the data set knows of an image before its pipeline.

        Args:
            idx (int): Place of the image.

        Returns:
            dict: As the data set gives it.
        """
        return self.dataset.get_data_info(idx)

    def to(self, device: torch.device) -> "InMemoryDataset":
        """Let the images lie on a device, so that a batch is a look-up there.

        Batches have the same numbers. The data loader must have no workers, and
        ``pin_memory=False``, which is for tensors on the host.

        Args:
            device (torch.device): The device, on which there must be room.

        Returns:
            InMemoryDataset: The data set itself.
        """
        self._kept = self._all_images().to(device)
        if self._labels is not None:
            labels, places = self._labels
            self._labels = labels.to(device), places.to(device)
        self.device = self._kept.device
        return self

    @property
    def nbytes(self) -> int:
        """int: Bytes of all images, which are read for it."""
        return self._all_images().nbytes

    def _all_images(self) -> Tensor:
        """The images, which the first to ask for them reads."""
        if self._kept is None:
            self._kept = self._read()
        return self._kept

    def full_init(self) -> None:
        """Read all images, once; later calls do nothing.

        Raises:
            ValueError: For data that cannot be kept, as the class describes it.
        """
        self._all_images()

    def _read(self) -> Tensor:
        if hasattr(self.dataset, "full_init"):
            self.dataset.full_init()
        if len(self) == 0:
            raise ValueError(
                f"InMemoryDataset found no images in {name_of(self.dataset)}; expected "
                "one or more: mend its settings."
            )
        with isolated_randomness():
            images, samples = read_once(self.dataset, self.device)
            self._keep_labels(samples)
            if self._of_files is not None:
                path = self.get_data_info(0).get("img_path")
                self._of_files.compare(name_of(self.dataset), images[0], path)
        print_log(
            f"{len(self)} images of {name_of(self.dataset)} stay in memory, "
            f"{shape_of(images[0])} each, {images.numel() / 1e6:.1f} MB.",
            logger="current",
        )
        return images

    def _keep_labels(self, samples: List[DataSample]) -> None:
        if not self.test_mode and self._have_one_label(samples):
            labels = torch.cat([sample.gt_label for sample in samples])
            places = [sample.get("sample_idx", i) for i, sample in enumerate(samples)]
            self._labels = labels, torch.tensor(places)
        else:
            self._samples = samples

    def _have_one_label(self, samples: List[DataSample]) -> bool:
        """Whether training images have one label each, and not several or none."""
        found = [sorted(sample.keys()) for sample in samples]
        odd = next((i for i, fields in enumerate(found) if fields != found[0]), None)
        if odd is not None:
            raise ValueError(
                f"InMemoryDataset found {_fields(found[odd])} in the data sample of "
                f"image {odd} of {name_of(self.dataset)} and {_fields(found[0])} in "
                "that of image 0; expected labels of all images or of none, for "
                "training: mend the data set."
            )
        return found[0] == ["gt_label"] and all(
            sample.gt_label.numel() == 1 for sample in samples
        )
