"""bfloat16 for the features of detectors on a CPU, float32 for all that comes of them.

On a CPU mmcv's operators (RoIAlign, NMS, deformable convolutions) have no bfloat16.
Boxes need more digits too: of a coordinate of 500 pixels bfloat16 knows two pixels.
What costs most of a step, the layers in front of the predictions, needs neither.
"""

import sys
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import torch
from torch import nn

__all__ = ["autocast_features", "feature_layers"]

# Attributes of mmdet's heads with the layers in front of their predictions.
_TOWERS = (
    *("rpn_conv", "shared_convs", "shared_fcs", "cls_convs", "cls_fcs"),
    *("reg_convs", "reg_fcs", "convs", "fcs", "inter_convs"),
)


def feature_layers(model: nn.Module) -> List[nn.Module]:
    """Layers that lead to the predictions of the detectors within a model.

    Args:
        model (nn.Module): A model, which may be wrapped for several processes. Its
            teacher, if it is an attribute and no submodule, counts as within.

    Returns:
        list[nn.Module]: Of each detector backbone and neck, and what its heads have in
        front of their predictions; empty for a classifier.
    """
    mmdet = sys.modules.get("mmdet.models")
    if mmdet is None:  # so there is no detector of it, and nothing to import for
        return []
    teachers = [getattr(module, "teacher", None) for module in model.modules()]
    found: List[nn.Module] = []
    for detector in (*model.modules(), *teachers):
        if not isinstance(detector, mmdet.BaseDetector):
            continue
        parts = (getattr(detector, name, None) for name in ("backbone", "neck"))
        features = [part for part in parts if isinstance(part, nn.Module)]
        inside = {id(layer) for part in features for layer in part.modules()}
        found += features
        for head in detector.modules():
            if id(head) in inside:
                continue
            for name in _TOWERS:
                found += _layers_of(getattr(head, name, None))
    return list(dict.fromkeys(found))


def _layers_of(tower: Any) -> List[nn.Module]:
    if isinstance(tower, nn.ModuleList):  # is never called itself; may be nested
        return [layer for entry in tower for layer in _layers_of(entry)]
    return [tower] if isinstance(tower, nn.Module) else []


def _to_float32(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype == torch.bfloat16 else value
    if isinstance(value, (list, tuple)):
        return type(value)(map(_to_float32, value))
    return value


class _Hooks:
    """What runs before and after a layer, in or out of autocast."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.running: List[torch.autocast] = []

    def begin(self, enabled: bool) -> Callable:
        def hook(
            module: nn.Module, args: tuple, kwargs: Dict[str, Any]
        ) -> Optional[Tuple[tuple, Dict[str, Any]]]:
            self.running.append(
                torch.autocast(self.device, dtype=torch.bfloat16, enabled=enabled)
            )
            self.running[-1].__enter__()
            if enabled:
                return None
            return _to_float32(args), {k: _to_float32(v) for k, v in kwargs.items()}

        return hook

    def end(self, module: nn.Module, args: tuple, output: Any) -> None:
        self.running.pop().__exit__(None, None, None)

    def convert(self, module: nn.Module, args: tuple, output: Any) -> Any:
        return _to_float32(output)

    def add(self, module: nn.Module, enabled: bool) -> list:
        """Hooks of a layer, which come before those of recorders."""
        return [
            module.register_forward_pre_hook(self.begin(enabled), with_kwargs=True),
            # After an error too.
            module.register_forward_hook(self.end, prepend=True, always_call=True),
        ]


@contextmanager
def autocast_features(layers: List[nn.Module], device: str) -> Iterator[None]:
    """Within it these layers run under bfloat16 autocast and give float32.

    Operators of mmcv within them run in float32.

    Args:
        layers (list[nn.Module]): What :func:`feature_layers` found.
        device (str): Type of the device, such as ``cpu``.
    """
    hooks = _Hooks(device)
    handles = []
    operators = {
        module
        for layer in layers
        for module in layer.modules()
        if type(module).__module__.startswith("mmcv.ops")
    }
    for operator in operators:
        handles += hooks.add(operator, enabled=False)
    for layer in layers:
        handles += hooks.add(layer, enabled=True)
        handles.append(layer.register_forward_hook(hooks.convert, prepend=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
