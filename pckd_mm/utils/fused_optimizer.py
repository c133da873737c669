"""Optimizers that update all parameters in one kernel."""

from typing import Callable

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["restore_kernel", "use_fused_kernel"]


def use_fused_kernel(optimizer: Optimizer, device: torch.device) -> bool:
    """Let an optimizer update all parameters in one kernel.

    Args:
        optimizer (Optimizer): One of torch's, such as SGD, with or without state.
        device (torch.device): Where its parameters are.

    Returns:
        bool: Whether it does; False, and nothing changed, where torch has no such
        kernel.
    """
    # Torch's own take these, which the class that they share does not say.
    make: Callable[..., Optimizer] = type(optimizer)
    try:
        make([torch.zeros(1, device=device)], lr=0.1, fused=True)
    except (TypeError, ValueError, RuntimeError):
        return False
    for group in optimizer.param_groups:
        group.update(fused=True, foreach=False)
    # As its constructor would say, which alone makes this attribute.
    optimizer._step_supports_amp_scaling = True  # type: ignore[attr-defined]
    for state in optimizer.state.values():
        if isinstance(state.get("step"), Tensor):
            state["step"] = state["step"].to(device)
    return True


def restore_kernel(optimizer: Optimizer) -> None:
    """Let an optimizer work as it was built, whatever a checkpoint says of that.

    Its state takes the layout of the parameters, which may not be the checkpoint's: a
    fused kernel takes both as rows of numbers.

    Args:
        optimizer (Optimizer): One of torch's, such as SGD, with or without state.
    """
    for group in optimizer.param_groups:
        for name in ("fused", "foreach"):
            if name in optimizer.defaults:
                group[name] = optimizer.defaults[name]
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype)
                state[name].copy_(value)
