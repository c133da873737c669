"""ResNet, ResNeXt and SE-ResNet: the names are nearly ours."""

from typing import Any, Dict, List

from .family import Family, Rules, renamed

# timm's stem of three convolutions, and its squeeze-and-excitation.
_RULES: Rules = [
    (r"^conv1\.0\.", "stem.0.conv."),
    (r"^conv1\.1\.", "stem.0.bn."),
    (r"^conv1\.3\.", "stem.1.conv."),
    (r"^conv1\.4\.", "stem.1.bn."),
    (r"^conv1\.6\.", "stem.2.conv."),
    (r"\.se\.fc([12])\.", r".se_layer.conv\1.conv."),
    (r"^fc\.", "head.0."),
]
_DEEP_STEM = "conv1.6.weight"


def _names(names: List[str]) -> Dict[str, str]:
    rules = list(_RULES)
    if _DEEP_STEM in names:
        rules.append((r"^bn1\.", "stem.2.bn."))
    # timm counts the pooling that a stage without a stride does not have.
    if "layer1.0.downsample.2.weight" in names:
        rules.append((r"^layer1\.0\.downsample\.1\.", "layer1.0.downsample.0."))
        rules.append((r"^layer1\.0\.downsample\.2\.", "layer1.0.downsample.1."))
    return renamed(names, rules)


def _computes(names: List[str]) -> List[Dict[str, Any]]:
    settings: Dict[str, Any] = {"norm_cfg": dict(type="BN", eps=1e-5)}
    if "layer1.0.conv3.weight" in names:  # a bottleneck: its second convolution strides
        settings["style"] = "pytorch"
    return [settings]


FAMILIES = [
    Family(
        title="torchvision's or timm's ResNet",
        backbones=(
            "ResNet",
            "ResNeXt",
            "ResNetV1c",
            "ResNetV1d",
            "SEResNet",
            "SEResNeXt",
        ),
        marks=("layer1.0.conv1.weight", "fc.weight"),
        names=_names,
        computes=_computes,
        alike="timm's antialiased ResNets, such as resnetblur18 and resnetaa50",
    )
]
