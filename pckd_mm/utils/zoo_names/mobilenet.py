"""MobileNetV2 and MobileNetV3."""

from typing import Any, Dict, List

from .family import Family, Rule, renamed
from .inverted_residual import (
    DEPTHWISE,
    EXPAND,
    LINEAR,
    grouped,
    timm_block,
    torchvision_block,
)

# Blocks in each stage of MobileNetV2, which torchvision counts through.
_STAGES_V2 = (1, 2, 3, 4, 3, 3, 1)
_RELU6 = {"norm_cfg": dict(type="BN", eps=1e-5), "act_cfg": dict(type="ReLU6")}
# timm's copies of TensorFlow's networks have the names of its own.
_PLAIN = {"norm_cfg": dict(type="BN", eps=1e-5), "conv_cfg": None}
_OF_TENSORFLOW = {
    "norm_cfg": dict(type="BN", eps=1e-3),
    "conv_cfg": dict(type="Conv2dAdaptivePadding"),
}


def _torchvision_v2(names: List[str]) -> Dict[str, str]:
    rules: List[Rule] = [
        (r"^features\.0\.0\.", "conv1.conv."),
        (r"^features\.0\.1\.", "conv1.bn."),
        (r"^features\.18\.0\.", "conv2.conv."),
        (r"^features\.18\.1\.", "conv2.bn."),
        (r"^classifier\.1\.", "head.0."),
    ]
    places = [
        f"layer{stage}.{block}"
        for stage, blocks in enumerate(_STAGES_V2, 1)
        for block in range(blocks)
    ]
    for number, place in enumerate(places, 1):
        last = 1 if number == 1 else 2  # the first block does not expand
        rules += [
            (rf"^features\.{number}\.conv\.(\d)\.0\.", rf"{place}.conv.\1.conv."),
            (rf"^features\.{number}\.conv\.(\d)\.1\.", rf"{place}.conv.\1.bn."),
            (rf"^features\.{number}\.conv\.{last}\.", f"{place}.conv.{last}.conv."),
            (rf"^features\.{number}\.conv\.{last + 1}\.", f"{place}.conv.{last}.bn."),
        ]
    return renamed(names, rules)


def _timm_v2(names: List[str]) -> Dict[str, str]:
    found = renamed(
        names,
        [
            (r"^conv_stem\.", "conv1.conv."),
            (r"^bn1\.", "conv1.bn."),
            (r"^conv_head\.", "conv2.conv."),
            (r"^bn2\.", "conv2.bn."),
            (r"^classifier\.", "head.0."),
        ],
    )
    for (stage, block), parts in grouped(names, r"blocks\.(\d+)\.(\d+)\.").items():
        ours = timm_block(parts)
        expands = any(name.startswith(f"{EXPAND}.") for name in ours.values())
        order = [EXPAND, DEPTHWISE, LINEAR][0 if expands else 1 :]
        rules = [(rf"^{role}\.", f"conv.{i}.") for i, role in enumerate(order)]
        numbered = renamed(ours.values(), rules)
        for part, name in ours.items():
            theirs = f"blocks.{stage}.{block}.{part}"
            found[theirs] = f"layer{stage + 1}.{block}.{numbered[name]}"
    return found


def _torchvision_v3(names: List[str]) -> Dict[str, str]:
    found = renamed(
        names,
        [
            (r"^features\.(\d+)\.0\.", r"layer\1.conv."),
            (r"^features\.(\d+)\.1\.", r"layer\1.bn."),
            (r"^classifier\.0\.", "head.0."),
            (r"^classifier\.3\.", "head.1."),
        ],
    )
    for (number,), parts in grouped(names, r"features\.(\d+)\.block\.").items():
        for part, name in torchvision_block(parts).items():
            found[f"features.{number}.block.{part}"] = f"layer{number}.{name}"
    return found


def _timm_v3(names: List[str]) -> Dict[str, str]:
    found = renamed(
        names,
        [
            (r"^conv_stem\.", "layer0.conv."),
            (r"^bn1\.", "layer0.bn."),
            (r"^conv_head\.", "head.0."),
            (r"^classifier\.", "head.1."),
        ],
    )
    blocks = grouped(names, r"blocks\.(\d+)\.(\d+)\.")
    for number, ((stage, block), parts) in enumerate(blocks.items(), 1):
        for part, name in timm_block(parts).items():
            found[f"blocks.{stage}.{block}.{part}"] = f"layer{number}.{name}"
    return found


def _like_torchvision(names: List[str]) -> List[Dict[str, Any]]:
    return [{"norm_cfg": dict(type="BN", eps=1e-3), "conv_cfg": None}]


FAMILIES = [
    Family(
        title="torchvision's MobileNetV2",
        backbones=("MobileNetV2",),
        marks=("features.18.0.weight", "features.1.conv.0.0.weight"),
        names=_torchvision_v2,
        computes=lambda names: [_RELU6],
    ),
    Family(
        title="timm's MobileNetV2",
        backbones=("MobileNetV2",),
        marks=("conv_stem.weight", "conv_head.weight", "bn2.weight"),
        names=_timm_v2,
        computes=lambda names: [_RELU6],
    ),
    Family(
        title="torchvision's MobileNetV3",
        backbones=("MobileNetV3",),
        marks=("features.1.block.0.0.weight", "classifier.3.weight"),
        names=_torchvision_v3,
        computes=_like_torchvision,
    ),
    Family(
        title="timm's MobileNetV3",
        backbones=("MobileNetV3",),
        marks=("conv_stem.weight", "conv_head.bias"),
        names=_timm_v3,
        computes=lambda names: [_PLAIN, _OF_TENSORFLOW],
    ),
]
