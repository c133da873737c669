"""Swin Transformer (the first version)."""

import re
from typing import Dict, List

from torch import Size, Tensor

from .family import Family, Rules, fitted, last_number, renamed

_INDEX = r"\.relative_position_index$"
# Of the four neighbours that are merged, theirs go down the columns, ours along rows.
_NEIGHBOURS = [0, 2, 1, 3]


_BLOCKS: Rules = [
    (r"\.attn\.", ".attn.w_msa."),
    (r"\.mlp\.(0|fc1)\.", ".ffn.layers.0.0."),
    (r"\.mlp\.(3|fc2)\.", ".ffn.layers.1."),
]


def _torchvision(names: List[str]) -> Dict[str, str]:
    # Odd numbers are stages, even ones the merging of patches after them.
    def block(match: re.Match) -> str:
        return f"stages.{int(match[1]) // 2}.blocks.{match[2]}."

    last = last_number(names, r"features\.(\d+)\.") // 2
    return renamed(
        names,
        [
            (r"^features\.0\.0\.", "patch_embed.projection."),
            (r"^features\.0\.2\.", "patch_embed.norm."),
            (r"^features\.(\d+)\.(\d+)\.", block),
            (
                r"^features\.(\d+)\.(?=reduction|norm)",
                lambda match: f"stages.{int(match[1]) // 2 - 1}.downsample.",
            ),
            *_BLOCKS,
            (r"^norm\.", f"norm{last}."),
            (r"^head\.", "head.0."),
        ],
    )


def _timm(names: List[str]) -> Dict[str, str]:
    # Since timm 0.9 a stage begins by merging patches; before, it ended so.
    shift = 0 if "layers.0.downsample.reduction.weight" in names else -1
    last = last_number(names, r"layers\.(\d+)\.")
    return renamed(
        names,
        [
            (r"^patch_embed\.proj\.", "patch_embed.projection."),
            (
                r"^layers\.(\d+)\.downsample\.",
                lambda match: f"stages.{int(match[1]) + shift}.downsample.",
            ),
            (r"^layers\.", "stages."),
            *_BLOCKS,
            (r"^norm\.", f"norm{last}."),
            (r"^head\.(fc\.)?", "head.0."),
        ],
    )


def _values(name: str, tensor: Tensor, shape: Size) -> Tensor:
    if re.search(r"\.downsample\.(reduction|norm)\.", name) and tensor.shape == shape:
        # Channels last: of neighbour after neighbour; ours of channel after channel.
        parts = tensor.unflatten(-1, (4, -1))[..., _NEIGHBOURS, :]
        return parts.transpose(-1, -2).flatten(-2)
    if re.search(_INDEX, name) and tensor.numel() == shape.numel():
        return tensor.reshape(shape)
    return fitted(name, tensor, shape)


FAMILIES = [
    Family(
        title="torchvision's Swin Transformer",
        backbones=("SwinTransformer",),
        marks=("features.1.0.attn.relative_position_bias_table", "norm.weight"),
        names=_torchvision,
        values=_values,
        computes=lambda names: [{"norm_cfg": dict(type="LN", eps=1e-5)}],
    ),
    Family(
        title="timm's Swin Transformer",
        backbones=("SwinTransformer",),
        marks=("layers.0.blocks.0.attn.relative_position_bias_table",),
        names=_timm,
        values=_values,
        computes=lambda names: [{"norm_cfg": dict(type="LN", eps=1e-5)}],
        dropped=r"\.attn_mask$",
        made=_INDEX,
    ),
]
