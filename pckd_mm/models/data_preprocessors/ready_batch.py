"""A batch that needs no preparation any more."""

from typing import Any, Dict, List, Optional, Tuple

from mmengine.structures import BaseDataElement
from mmengine.utils import apply_to
from torch import Tensor

__all__ = ["ReadyBatch", "first_views"]

Parts = Tuple[type, Dict[str, Any]]


class ReadyBatch(dict):
    """Views on the device, normalised, with their data samples.

    Args:
        inputs (Tensor): Views in sample-major order, shape (V * B, C, H, W).
        data_samples (list[DataSample]): The B images' labels.
        records (dict[str, list], optional): What the teacher's recorders hold of these
            views, by their names. Defaults to None.
    """

    def __init__(
        self,
        inputs: Tensor,
        data_samples: list,
        records: Optional[Dict[str, list]] = None,
    ) -> None:
        super().__init__(inputs=inputs, data_samples=data_samples)
        self.records = records

    def clone(self) -> "ReadyBatch":
        """The batch with views and records of its own."""
        records = apply_to(
            self.records, lambda value: isinstance(value, Tensor), lambda t: t.clone()
        )
        return ReadyBatch(self["inputs"].clone(), self["data_samples"], records)

    def __reduce__(self) -> Any:
        samples = [_taken_apart(sample) for sample in self["data_samples"]]
        return _put_together, (self["inputs"], samples, self.records)


def _taken_apart(sample: BaseDataElement) -> Parts:
    """A data sample as what it is made of.

    MMPretrain pickles samples for other processes by turning their tensors into arrays
    in place, which is for a sample that is sent once, and not for one on a GPU.
    """
    return type(sample), {
        name: _taken_apart(value) if isinstance(value, BaseDataElement) else value
        for name, value in sample.__dict__.items()
    }


def _put_together(
    inputs: Tensor, samples: List[Parts], records: Optional[Dict[str, list]]
) -> ReadyBatch:
    return ReadyBatch(inputs, [_sample(*parts) for parts in samples], records)


def _sample(kind: type, values: Dict[str, Any]) -> BaseDataElement:
    sample: BaseDataElement = object.__new__(kind)
    for name, value in values.items():
        # Parts of a sample of several tasks.
        is_sample = isinstance(value, tuple) and value and isinstance(value[0], type)
        sample.__dict__[name] = _sample(*value) if is_sample else value
    return sample


def first_views(rows: Tensor, made: int, taken: int) -> Tensor:
    """The rows of the first views of each image.

    Args:
        rows (Tensor): In sample-major order, shape (made * B, ...).
        made (int): Views of each image.
        taken (int): How many of them to take.

    Returns:
        Tensor: Shape (taken * B, ...); the rows themselves where all are taken.
    """
    if taken == made:
        return rows
    return rows.unflatten(0, (-1, made))[:, :taken].flatten(0, 1)
