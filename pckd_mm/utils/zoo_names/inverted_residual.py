"""The blocks that MobileNetV3 and EfficientNet have in common."""

import re
from typing import Dict, Iterable, List, Tuple

from .family import Rule, renamed

__all__ = [
    "DEPTHWISE",
    "EXPAND",
    "LINEAR",
    "grouped",
    "timm_block",
    "torchvision_block",
]

# Parts of mmpretrain's block.
EXPAND, DEPTHWISE, LINEAR = "expand_conv", "depthwise_conv", "linear_conv"
# timm's kinds of blocks, by a convolution that only they have: each of its
# convolutions, in the order in which it numbers their norms, and what we call it.
_TIMM: List[Tuple[str, List[Tuple[str, str]]]] = [
    ("conv_exp", [("conv_exp", "conv1"), ("conv_pwl", "conv2")]),
    (
        "conv_pwl",
        [("conv_pw", EXPAND), ("conv_dw", DEPTHWISE), ("conv_pwl", LINEAR)],
    ),
    ("conv_dw", [("conv_dw", DEPTHWISE), ("conv_pw", LINEAR)]),
    ("conv", [("conv", "")]),
]


def grouped(names: Iterable[str], pattern: str) -> Dict[Tuple[int, ...], List[str]]:
    """What follows a pattern in the names that begin by it, by its numbers, sorted.

    Args:
        names (Iterable[str]): The names.
        pattern (str): Its groups are numbers, those of a block.
    """
    found: Dict[Tuple[int, ...], List[str]] = {}
    for name in names:
        match = re.match(pattern, name)
        if match:
            numbers = tuple(int(number) for number in match.groups())
            found.setdefault(numbers, []).append(name[match.end() :])
    return dict(sorted(found.items()))


def timm_block(names: List[str]) -> Dict[str, str]:
    """Our names of the tensors of one of timm's blocks.

    Args:
        names (list[str]): All of its tensors, such as ``conv_dw.weight``.
    """
    kinds = {name.split(".")[0] for name in names}
    parts = next((parts for mark, parts in _TIMM if mark in kinds), [])
    rules: List[Rule] = [
        (r"^se\.conv_reduce\.", "se.conv1.conv."),
        (r"^se\.conv_expand\.", "se.conv2.conv."),
    ]
    for number, (theirs, ours) in enumerate(parts, 1):
        place = f"{ours}." if ours else ""
        # Ours are marked, since some are called as another one of theirs.
        rules.append((rf"^{theirs}\.", f"={place}conv."))
        rules.append((rf"^bn{number}\.", f"={place}bn."))
    return renamed(names, [*rules, ("^=", "")])


def torchvision_block(names: List[str]) -> Dict[str, str]:
    """Our names of the tensors of one of torchvision's blocks, ``block.*``.

    Args:
        names (list[str]): All of its tensors, such as ``0.0.weight``.
    """
    gate = {name.split(".")[0] for name in names if ".fc1." in name}
    convolutions = sorted({name.split(".")[0] for name in names} - gate)
    rules: List[Rule] = [(r"^\d+\.fc([12])\.", r"se.conv\1.conv.")]
    roles = (EXPAND, DEPTHWISE, LINEAR)[-len(convolutions) :]
    for number, role in zip(convolutions, roles, strict=False):
        rules.append((rf"^{number}\.0\.", f"{role}.conv."))
        rules.append((rf"^{number}\.1\.", f"{role}.bn."))
    return renamed(names, rules)
