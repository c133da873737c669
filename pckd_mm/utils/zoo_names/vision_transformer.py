"""ViT and DeiT."""

from typing import Any, Dict, List

from .family import Family, Rules, renamed

_TORCHVISION: Rules = [
    (r"^class_token$", "cls_token"),
    (r"^conv_proj\.", "patch_embed.projection."),
    (r"^encoder\.pos_embedding$", "pos_embed"),
    (r"^encoder\.ln\.", "ln1."),
    (r"^encoder\.layers\.encoder_layer_(\d+)\.", r"layers.\1."),
    (r"\.ln_([12])\.", r".ln\1."),
    (r"\.self_attention\.in_proj_", ".attn.qkv."),
    (r"\.self_attention\.out_proj\.", ".attn.proj."),
    # linear_1 and linear_2 in files of torchvision 0.12 and before.
    (r"\.mlp\.(0|linear_1)\.", ".ffn.layers.0.0."),
    (r"\.mlp\.(3|linear_2)\.", ".ffn.layers.1."),
    (r"^heads\.head\.", "head.0."),
]
_TIMM: Rules = [
    (r"^patch_embed\.proj\.", "patch_embed.projection."),
    (r"^blocks\.(\d+)\.", r"layers.\1."),
    (r"^layers\.(\d+)\.norm([12])\.", r"layers.\1.ln\2."),
    (r"\.mlp\.fc1\.", ".ffn.layers.0.0."),
    (r"\.mlp\.fc2\.", ".ffn.layers.1."),
    (r"\.ls1\.gamma$", ".attn.gamma1.weight"),
    (r"\.ls2\.gamma$", ".ffn.gamma2.weight"),
    (r"^norm\.", "ln1."),
    (r"^fc_norm\.", "ln2."),
    (r"^head\.", "head.0."),
    (r"^head_dist\.", "head.1."),
]


def _computes(names: List[str]) -> List[Dict[str, Any]]:
    averaged = "fc_norm.weight" in names
    return [
        {
            "norm_cfg": dict(type="LN", eps=1e-6),
            "out_type": "avg_featmap" if averaged else "cls_token",
        }
    ]


FAMILIES = [
    Family(
        title="torchvision's ViT",
        backbones=("VisionTransformer",),
        marks=("class_token", "encoder.pos_embedding"),
        names=lambda names: renamed(names, _TORCHVISION),
        computes=_computes,
    ),
    Family(
        title="timm's ViT",
        backbones=("VisionTransformer", "DistilledVisionTransformer"),
        marks=("cls_token", "blocks.0.attn.qkv.weight", "patch_embed.proj.weight"),
        names=lambda names: renamed(names, _TIMM),
        computes=_computes,
    ),
]
