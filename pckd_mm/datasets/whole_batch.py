"""Data samples of whole batches, as :class:`InMemoryDataset` gives them."""

from typing import Any, List, Optional, Sequence

import torch
from mmpretrain.structures import DataSample
from torch import Tensor

__all__ = ["is_whole_batch", "one_each", "places_of", "require_places", "samples_of"]


def is_whole_batch(data_samples: Sequence[Any], one_label: bool = False) -> bool:
    """Whether one data sample holds the labels of all images.

    Args:
        data_samples (Sequence[DataSample]): The samples of a batch.
        one_label (bool): Whether an image has one label, so that a sample with several
            and without a place in the training set is one of several images. Defaults
            to False.

    Returns:
        bool: Whether it does: its place in the training set are places then.
    """
    if len(data_samples) != 1:
        return False
    (sample,) = data_samples
    places = sample.get("sample_idx")
    if places is None:
        return one_label and "gt_label" in sample and len(sample.gt_label) > 1
    return isinstance(places, Tensor) and places.ndim == 1


def one_each(data_samples: Sequence[Any], one_label: bool = False) -> List[Any]:
    """A data sample for each image, of one for all.

    Args:
        data_samples (Sequence[DataSample]): A sample for each image, or one for all.
        one_label (bool): As for :func:`is_whole_batch`. Defaults to False.

    Returns:
        list[DataSample]: A sample for each image.
    """
    if not is_whole_batch(data_samples, one_label):
        return list(data_samples)
    (whole,) = data_samples
    labels = whole.gt_label.split(1)
    places = whole.get("sample_idx", [None] * len(labels))
    return [
        DataSample(metainfo=dict(sample_idx=place)).set_gt_label(label)
        for place, label in zip(places, labels, strict=True)
    ]


def places_of(data_samples: Sequence[Any]) -> Optional[Tensor]:
    """Places of a batch's images in the training set.

    Args:
        data_samples (Sequence[DataSample]): A sample for each image, or one for all.

    Returns:
        Tensor, optional: Their ``sample_idx``, shape (B,), on the host; None where a
        sample has none.
    """
    places = [sample.get("sample_idx") for sample in data_samples]
    if not places or any(place is None for place in places):
        return None
    return torch.cat([torch.as_tensor(place).reshape(-1) for place in places])


def require_places(data_samples: Sequence[Any]) -> Tensor:
    """As :func:`places_of`, for losses that cannot do without.

    Raises:
        ValueError: Where a sample has none.
    """
    places = places_of(data_samples)
    if places is None:
        raise ValueError(
            "A loss asks for sample_idx, which the data samples do not have; expected "
            "the place of each image in the training set: leave sample_idx among the "
            "meta_keys of PackInputs."
        )
    return places


def samples_of(
    images: int, labels: Optional[Tensor] = None, places: Optional[Tensor] = None
) -> List[DataSample]:
    """Data samples of images whose labels are in one tensor.

    Args:
        images (int): How many there are.
        labels (Tensor, optional): Label of each image, shape (B,), or scores of all
            categories, shape (B, num_classes). Defaults to None, for none.
        places (Tensor, optional): Place of each image in the training set, shape (B,).
            Defaults to None.

    Returns:
        list[DataSample]: A sample for each image.
    """
    samples = [DataSample() for _ in range(images)]
    for index, sample in enumerate(samples):
        if labels is not None and labels.ndim > 1:
            sample.set_gt_score(labels[index])
        elif labels is not None:
            sample.set_gt_label(labels[index])
        if places is not None:
            sample.set_metainfo(dict(sample_idx=int(places[index])))
    return samples
