"""DenseNet: timm has torchvision's names."""

import re
from typing import Dict, List

from .family import Family, last_number, renamed


def _layer(match: re.Match) -> str:
    return f"stages.{int(match[1]) - 1}.block.{int(match[2]) - 1}."


def _transition(match: re.Match) -> str:
    return f"transitions.{int(match[1]) - 1}."


def _names(names: List[str]) -> Dict[str, str]:
    last = last_number(names, r"features\.denseblock(\d+)") - 1
    return renamed(
        names,
        [
            (r"^features\.conv0\.", "stem.0."),
            (r"^features\.norm0\.", "stem.1."),
            (r"^features\.norm5\.", f"transitions.{last}.0."),
            (r"^features\.denseblock(\d+)\.denselayer(\d+)\.", _layer),
            (r"^features\.transition(\d+)\.", _transition),
            # As torchvision's own files of before 2018 have it.
            (r"\.(norm|conv)\.([12])\.", r".\1\2."),
            (r"^classifier\.", "head.0."),
        ],
    )


FAMILIES = [
    Family(
        title="torchvision's or timm's DenseNet",
        backbones=("DenseNet",),
        marks=("features.conv0.weight", "features.norm5.weight"),
        names=_names,
        computes=lambda names: [
            {"norm_cfg": dict(type="BN", eps=1e-5), "act_cfg": dict(type="ReLU")}
        ],
    )
]
