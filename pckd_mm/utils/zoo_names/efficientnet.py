"""EfficientNet, and timm's EfficientNet-EdgeTPU."""

from typing import Any, Dict, List

from .family import Family, renamed
from .inverted_residual import grouped, timm_block, torchvision_block

# Ours of their stages: ours begin where the stride is 2.
_STAGES = (1, 2, 3, 4, 4, 5, 5)
_ADAPTIVE = dict(type="Conv2dAdaptivePadding")


def _places(blocks: List[tuple], first: int) -> Dict[tuple, str]:
    """Our places of their blocks, given by stage and number in the stage.

    Args:
        blocks (list[tuple]): The blocks, sorted.
        first (int): Number of the first stage.
    """
    places: Dict[tuple, str] = {}
    filled: Dict[int, int] = {}
    for block in blocks:
        stage = _STAGES[min(block[0] - first, len(_STAGES) - 1)]
        number = filled.get(stage, 0)
        places[block] = f"layers.{stage}.{number}"
        filled[stage] = number + 1
    return places


def _torchvision(names: List[str]) -> Dict[str, str]:
    found = renamed(
        names,
        [
            (r"^features\.0\.0\.", "layers.0.conv."),
            (r"^features\.0\.1\.", "layers.0.bn."),
            (r"^features\.8\.0\.", "layers.6.conv."),
            (r"^features\.8\.1\.", "layers.6.bn."),
            (r"^classifier\.1\.", "head.0."),
        ],
    )
    blocks = grouped(names, r"features\.(\d+)\.(\d+)\.block\.")
    places = _places(list(blocks), 1)
    for block, parts in blocks.items():
        stage, number = block
        for part, name in torchvision_block(parts).items():
            theirs = f"features.{stage}.{number}.block.{part}"
            found[theirs] = f"{places[block]}.{name}"
    return found


def _timm(names: List[str]) -> Dict[str, str]:
    found = renamed(
        names,
        [
            (r"^conv_stem\.", "layers.0.conv."),
            (r"^bn1\.", "layers.0.bn."),
            (r"^conv_head\.", "layers.6.conv."),
            (r"^bn2\.", "layers.6.bn."),
            (r"^classifier\.", "head.0."),
        ],
    )
    blocks = grouped(names, r"blocks\.(\d+)\.(\d+)\.")
    places = _places(list(blocks), 0)
    for block, parts in blocks.items():
        stage, number = block
        for part, name in timm_block(parts).items():
            found[f"blocks.{stage}.{number}.{part}"] = f"{places[block]}.{name}"
    return found


def _like_torchvision(names: List[str]) -> List[Dict[str, Any]]:
    blocks = grouped(names, r"features\.(\d+)\.(\d+)\.block\.")
    eps = 1e-5 if len(blocks) < 39 else 1e-3  # B5 to B7 were ported from TensorFlow
    return [
        {
            "conv_cfg": None,
            "norm_cfg": dict(type="BN", eps=eps),
            "act_cfg": dict(type="Swish"),
        }
    ]


def _like_timm(names: List[str]) -> List[Dict[str, Any]]:
    # Names do not tell its own networks from its copies of TensorFlow's, tf_*.
    act = "ReLU" if "blocks.0.0.conv_exp.weight" in names else "Swish"
    return [
        {
            "conv_cfg": conv,
            "norm_cfg": dict(type="BN", eps=eps),
            "act_cfg": dict(type=act),
        }
        for conv, eps in ((None, 1e-5), (_ADAPTIVE, 1e-3))
    ]


FAMILIES = [
    Family(
        title="torchvision's EfficientNet",
        backbones=("EfficientNet",),
        marks=("features.1.0.block.1.fc1.weight", "features.8.0.weight"),
        names=_torchvision,
        computes=_like_torchvision,
    ),
    Family(
        title="timm's EfficientNet",
        backbones=("EfficientNet",),
        marks=("conv_stem.weight", "conv_head.weight", "bn2.weight"),
        names=_timm,
        computes=_like_timm,
        alike="timm's antialiased EfficientNet, efficientnet_blur_b0",
    ),
]
