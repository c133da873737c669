"""VGG, with and without BatchNorm."""

import re
from typing import Any, Dict, List

from torch import Size, Tensor

from .family import Family, Rule, Rules, fitted, renamed

_BACKBONES = ("VGG",)


def _features(names: List[str]) -> Rules:
    """Rules for the convolutions: ours count each with its norm and its ReLU."""
    numbers = {int(re.split(r"\.", n)[1]) for n in names if n.startswith("features.")}
    norms = {n for n in numbers if f"features.{n}.running_mean" in names}
    rules: List[Rule] = []
    taken = 2 if norms else 1  # what follows a convolution, in theirs
    for before, number in enumerate(sorted(numbers - norms)):
        place = f"=features.{number - taken * before}"
        rules.append((rf"^features\.{number}\.", f"{place}.conv."))
        if norms:
            rules.append((rf"^features\.{number + 1}\.", f"{place}.bn."))
    # Marked, since the numbers of ours are those of others among theirs.
    return [*rules, ("^=", "")]


def _torchvision(names: List[str]) -> Dict[str, str]:
    return renamed(names, _features(names))


def _timm(names: List[str]) -> Dict[str, str]:
    return renamed(
        names,
        [
            *_features(names),
            (r"^pre_logits\.fc1\.", "classifier.0."),
            (r"^pre_logits\.fc2\.", "classifier.3."),
            (r"^head\.fc\.", "classifier.6."),
        ],
    )


def _timm_values(name: str, tensor: Tensor, shape: Size) -> Tensor:
    if name == "backbone.classifier.0.weight" and tensor.dim() == 4:
        return tensor.flatten(1)  # a convolution over the whole feature
    return fitted(name, tensor, shape)


def _computes(names: List[str]) -> List[Dict[str, Any]]:
    settings: Dict[str, Any] = dict(ceil_mode=False, act_cfg=dict(type="ReLU"))
    if any(name.endswith("running_mean") for name in names):
        settings["norm_cfg"] = dict(type="BN", eps=1e-5)
    return [settings]


FAMILIES = [
    Family(
        title="torchvision's VGG",
        backbones=_BACKBONES,
        marks=("features.0.weight", "classifier.6.weight"),
        names=_torchvision,
        computes=_computes,
    ),
    Family(
        title="timm's VGG",
        backbones=_BACKBONES,
        marks=("features.0.weight", "pre_logits.fc1.weight"),
        names=_timm,
        values=_timm_values,
        computes=_computes,
    ),
]
