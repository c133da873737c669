"""ConvNeXt, and timm's ConvNeXt V2."""

import re
from typing import Any, Dict, List

from .family import Family, last_number, renamed

_BACKBONES = ("ConvNeXt",)


def _downsampling(match: re.Match) -> str:
    return f"downsample_layers.{int(match[1]) // 2}."


def _stage(match: re.Match) -> str:
    return f"stages.{int(match[1]) // 2}.{match[2]}."


def _torchvision(names: List[str]) -> Dict[str, str]:
    # Even numbers are downsampling, odd ones stages.
    last = last_number(names, r"features\.(\d+)\.") // 2
    return renamed(
        names,
        [
            (r"^features\.(\d*[02468])\.", _downsampling),
            (r"^features\.(\d+)\.(\d+)\.", _stage),
            (r"\.block\.0\.", ".depthwise_conv."),
            (r"\.block\.2\.", ".norm."),
            (r"\.block\.3\.", ".pointwise_conv1."),
            (r"\.block\.5\.", ".pointwise_conv2."),
            (r"\.layer_scale$", ".gamma"),
            (r"^classifier\.0\.", f"norm{last}."),
            (r"^classifier\.2\.", "head.0."),
        ],
    )


def _timm(names: List[str]) -> Dict[str, str]:
    last = last_number(names, r"stages\.(\d+)\.")
    return renamed(
        names,
        [
            (r"^head\.norm\.", f"norm{last}."),
            (r"^head\.fc\.", "head.0."),
            (r"^stem\.", "downsample_layers.0."),
            (r"^stages\.(\d+)\.downsample\.", r"downsample_layers.\1."),
            (r"^stages\.(\d+)\.blocks\.", r"stages.\1."),
            (r"\.conv_dw\.", ".depthwise_conv."),
            (r"\.mlp\.fc([12])\.", r".pointwise_conv\1."),
            (r"\.mlp\.grn\.weight$", ".grn.gamma"),
            (r"\.mlp\.grn\.bias$", ".grn.beta"),
        ],
    )


def _computes(names: List[str]) -> List[Dict[str, Any]]:
    return [
        {
            "norm_cfg": dict(type="LN2d", eps=1e-6),
            "act_cfg": dict(type="GELU"),
            "gap_before_final_norm": True,
        }
    ]


FAMILIES = [
    Family(
        title="torchvision's ConvNeXt",
        backbones=_BACKBONES,
        marks=("features.1.0.layer_scale",),
        names=_torchvision,
        computes=_computes,
    ),
    Family(
        title="timm's ConvNeXt",
        backbones=_BACKBONES,
        marks=("stages.0.blocks.0.conv_dw.weight", "head.norm.weight"),
        names=_timm,
        computes=_computes,
    ),
]
