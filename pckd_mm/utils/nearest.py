"""Names that a misspelt one may have meant."""

import difflib
from itertools import accumulate
from typing import Dict, Iterable, List, Optional

__all__ = ["likely_names", "nearest", "nearest_names"]


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


def likely_names(name: str, names: Iterable[str], most: int = 3) -> List[str]:
    """Long names that a short one may have meant.

    Args:
        name (str): The name, such as ``fcos_r50``.
        names (Iterable[str]): Those of parts that ``_`` joins, such as
            ``fcos_r50-caffe_fpn_1x_coco``.
        most (int): How many at most. Defaults to 3.

    Returns:
        list[str]: Those that begin with it, the shortest first; then of each beginning
        that it looks like the shortest.
    """
    ordered = sorted(names, key=lambda full: (len(full), full))
    of_beginning: Dict[str, str] = {}
    for full in ordered:
        for beginning in accumulate(full.split("_"), "{}_{}".format):
            of_beginning.setdefault(beginning, full)
    begun = [full for full in ordered if full.startswith(name)]
    near = [of_beginning[each] for each in nearest_names(name, of_beginning, most)]
    return list(dict.fromkeys([*begun, *near]))[:most]
