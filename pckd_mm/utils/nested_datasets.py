"""Data sets within wrappers such as ``RepeatDataset``, built ones or their configs."""

from typing import Any, Iterator, List

from .class_name import class_name

__all__ = [
    "HELD_OUT",
    "inner_datasets",
    "is_held_out",
    "nested_datasets",
    "parts_of",
]

# pckd_mm.datasets.held_out_part, which takes a while to import.
HELD_OUT = "pckd_mm.held_out_part"


def parts_of(dataset: Any) -> List[Any]:
    """The data sets directly within a wrapper.

    Args:
        dataset (dict | Dataset): A data set of OpenMMLab or its config.

    Returns:
        list[dict | Dataset]: One, or several of a ``ConcatDataset``; none where it is
        no wrapper.
    """
    several = _get(dataset, "datasets")
    if several is not None:
        return list(several)
    one = _get(dataset, "dataset")
    return [] if one is None else [one]


def nested_datasets(dataset: Any) -> Iterator[Any]:
    """A data set and all within it, wrappers before what is in them.

    Args:
        dataset (dict | Dataset): As for :func:`parts_of`.
    """
    yield dataset
    for part in parts_of(dataset):
        yield from nested_datasets(part)


def inner_datasets(dataset: Any) -> Iterator[Any]:
    """The data sets within wrappers, which read the images.

    Args:
        dataset (dict | Dataset): As for :func:`parts_of`.

    Yields:
        dict | Dataset: Each of them; the data set itself where it is no wrapper.
    """
    return (each for each in nested_datasets(dataset) if not parts_of(each))


def is_held_out(dataset: dict) -> bool:
    """Whether a config is that of a part of a data set, by ``held_out_part``."""
    return class_name(dataset.get("type")) == class_name(HELD_OUT)


def _get(owner: Any, name: str) -> Any:
    return owner.get(name) if isinstance(owner, dict) else getattr(owner, name, None)
