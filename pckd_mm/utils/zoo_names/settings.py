"""What a network computes that none of its tensors tells, by the config's settings."""

from typing import Any, Dict, Iterable

from mmcv.cnn.bricks import Conv2dAdaptivePadding
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["advice", "differences"]

_NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)
_ACTIVATIONS = ("ReLU", "ReLU6", "SiLU", "Swish", "GELU", "QuickGELU", "Hardswish")


def _found(backbone: nn.Module, setting: str) -> Any:
    """What a setting of the backbone's config says, as read from its modules."""
    modules = list(backbone.modules())
    if setting == "norm_cfg":
        found = sorted({m.eps for m in modules if isinstance(m, _NORMS)})
        return f"eps {' and '.join(map(str, found))}"
    if setting == "conv_cfg":
        adaptive = any(isinstance(m, Conv2dAdaptivePadding) for m in modules)
        return "Conv2dAdaptivePadding" if adaptive else None
    if setting == "act_cfg":
        names = {type(m).__name__ for m in modules} & set(_ACTIVATIONS)
        return " and ".join(sorted("Swish" if n == "SiLU" else n for n in names))
    if setting == "ceil_mode":
        return any(m.ceil_mode for m in modules if isinstance(m, nn.MaxPool2d))
    return getattr(backbone, setting, None)


def _wanted(setting: str, value: Any) -> Any:
    """A setting's value in the form of :func:`_found`."""
    if setting == "norm_cfg":
        return f"eps {value['eps']}"
    return value["type"] if isinstance(value, dict) else value


def differences(backbone: nn.Module, computes: Dict[str, Any]) -> Dict[str, Any]:
    """The settings by which a backbone computes otherwise, and what it has.

    Args:
        backbone (nn.Module): mmpretrain's.
        computes (dict): Settings of its config, and their values.
    """
    found = {setting: _found(backbone, setting) for setting in computes}
    return {
        setting: value
        for setting, value in found.items()
        if value != _wanted(setting, computes[setting])
    }


def advice(backbone: nn.Module, kinds: Iterable[Dict[str, Any]]) -> str:
    """Options of the command line by which a backbone becomes one of other kinds.

    Args:
        backbone (nn.Module): mmpretrain's.
        kinds (Iterable[dict]): Settings of its config, and their values, of each kind.

    Returns:
        str: Such as ``--cfg-options model.backbone.style=pytorch``; empty where it is
        of all kinds.
    """
    lines = []
    for kind in kinds:
        written = []
        for setting in differences(backbone, kind):
            value, key = kind[setting], f"model.backbone.{setting}"
            if isinstance(value, dict):
                written += [f"{key}.{part}={each}" for part, each in value.items()]
            else:
                written.append(f"{key}={value}")
        if written:
            lines.append(f"--cfg-options {' '.join(written)}")
    return " or ".join(lines)
