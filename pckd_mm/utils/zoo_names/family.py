"""What a converter knows of a family of networks in another library."""

import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Sequence, Tuple, Union

from torch import Size, Tensor

__all__ = ["Family", "Rule", "Rules", "fitted", "last_number", "renamed"]

# A pattern and what takes its place; several one after another, in every name.
Rule = Tuple[str, Union[str, Callable[[re.Match], str]]]
Rules = Sequence[Rule]


def renamed(names: Iterable[str], rules: Rules) -> Dict[str, str]:
    """Apply rules to names, each to what the ones before it left."""
    found = {}
    for name in names:
        found[name] = name
        for pattern, place in rules:
            found[name] = re.sub(pattern, place, found[name])
    return found


def last_number(names: Iterable[str], pattern: str) -> int:
    """The highest number that a pattern's group finds in names that begin by it."""
    found = (re.match(pattern, name) for name in names)
    return max((int(match[1]) for match in found if match), default=0)


def fitted(name: str, tensor: Tensor, shape: Size) -> Tensor:
    """A tensor in another shape that differs in dimensions of one only.

    So a convolution of kernel 1 becomes the linear layer that it is.

    Args:
        name (str): Our name of it; not used here.
        tensor (Tensor): The published tensor.
        shape (Size): Its shape in mmpretrain's network.

    Returns:
        Tensor: As it came where it fits in no such way.
    """
    plain = [[size for size in each if size != 1] for each in (tensor.shape, shape)]
    return tensor.reshape(shape) if plain[0] == plain[1] else tensor


@dataclass(frozen=True)
class Family:
    """Networks of one kind in torchvision or timm, and as mmpretrain has them.

    Args:
        title (str): Its name, such as ``torchvision's MobileNetV2``.
        backbones (tuple[str]): Types of mmpretrain's backbone that it may become.
        marks (tuple[str]): Names of tensors that it has, and that no other family of
            these backbones has.
        names (Callable): Gives our name for each of the published names. Those of the
            backbone have no prefix; ``head.0``, ``head.1``, ... are the linear layers
            of the head, in order. A name that it does not know may come back as it is.
        values (Callable): Gives our value for our name, the published tensor and our
            shape. Defaults to :func:`fitted`.
        computes (Callable): Gives for the published names what the network computes
            that no tensor tells, as settings of mmpretrain's config: one dict for each
            of the kinds that have these names. Defaults to nothing.
        dropped (str): Pattern of published names of constants that mmpretrain makes
            anew. Defaults to none.
        made (str): Pattern of our names of constants that the library makes anew.
            Defaults to none.
        alike (str): Networks with the same names and shapes that compute what no
            setting of mmpretrain's does, in words. Defaults to none.
    """

    title: str
    backbones: Tuple[str, ...]
    marks: Tuple[str, ...]
    names: Callable[[List[str]], Dict[str, str]]
    values: Callable[[str, Tensor, Size], Tensor] = fitted
    computes: Callable[[List[str]], List[Dict[str, Any]]] = lambda names: [{}]
    dropped: str = "(?!)"
    made: str = "(?!)"
    alike: str = ""
