"""Names that a misspelt one may have meant."""

import difflib
from typing import Iterable, List, Optional

__all__ = ["nearest", "nearest_names"]


def nearest_names(
    name: str, names: Iterable[str], most: int = 3, alike: float = 0.6
) -> List[str]:
    """The names that another one looks like, the nearest first.

    Args:
        name (str): The name.
        names (Iterable[str]): Those that it may look like.
        most (int): How many at most. Defaults to 3.
        alike (float): How much, from 0 to 1. Defaults to 0.6.

    Returns:
        list[str]: Some of them; none where none looks like it.
    """
    return difflib.get_close_matches(name, list(names), most, alike)


def nearest(name: str, names: Iterable[str], alike: float = 0.6) -> Optional[str]:
    """The name that another one looks like, None where none does.

    Args:
        name (str): The name.
        names (Iterable[str]): Those that it may look like.
        alike (float): How much, from 0 to 1. Defaults to 0.6.
    """
    return next(iter(nearest_names(name, names, 1, alike)), None)
