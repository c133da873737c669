"""Data samples of whole batches, as :class:`InMemoryDataset` gives them."""

from typing import Any, List, Sequence

from mmpretrain.structures import DataSample
from torch import Tensor

__all__ = ["is_whole_batch", "one_each"]


def is_whole_batch(data_samples: Sequence[Any]) -> bool:
    """Whether one data sample holds the labels of all images.

    Args:
        data_samples (Sequence[DataSample]): The samples of a batch.

    Returns:
        bool: Whether their place in the training set are places.
    """
    if len(data_samples) != 1:
        return False
    places = data_samples[0].get("sample_idx")
    return isinstance(places, Tensor) and places.ndim == 1


def one_each(data_samples: Sequence[Any]) -> List[Any]:
    """A data sample for each image, of one for all.

    Args:
        data_samples (Sequence[DataSample]): A sample for each image, or one for all.

    Returns:
        list[DataSample]: A sample for each image.
    """
    if not is_whole_batch(data_samples):
        return list(data_samples)
    (whole,) = data_samples
    return [
        DataSample(metainfo=dict(sample_idx=place)).set_gt_label(label)
        for place, label in zip(
            whole.get("sample_idx"), whole.gt_label.split(1), strict=True
        )
    ]
