"""The optimizer wrappers of a run, and what they let a step compute in."""

from typing import List

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner

from .bfloat16_optim_wrapper import BFloat16OptimWrapper

__all__ = ["number_type", "optim_wrappers"]


def optim_wrappers(runner: Runner) -> List[OptimWrapper]:
    """The optimizer wrappers of a runner, one or several."""
    wrapper = runner.optim_wrapper
    several = isinstance(wrapper, OptimWrapperDict)
    return list(wrapper.values()) if several else [wrapper]


def number_type(wrapper: OptimWrapper, device: torch.device) -> str:
    """What an optimizer wrapper lets a step compute in on a device, in words."""
    if isinstance(wrapper, BFloat16OptimWrapper):
        return wrapper.precision(device.type)
    if isinstance(wrapper, AmpOptimWrapper):
        return str(wrapper.cast_dtype or torch.float16).removeprefix("torch.")
    return "float32"
