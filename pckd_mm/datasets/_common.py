"""What the data sets with a `split` share."""

from typing import Sequence


def check_split(dataset: str, split: str, splits: Sequence[str]) -> None:
    """Refuse a split that the data set does not have.

    Args:
        dataset (str): Name of the data set, for the error.
        split (str): What was asked for.
        splits (Sequence[str]): All there are.

    Raises:
        ValueError: For another split.
    """
    if split not in splits:
        expected = " or ".join(map(repr, splits))
        raise ValueError(f"{dataset} found split={split!r}; expected {expected}.")
