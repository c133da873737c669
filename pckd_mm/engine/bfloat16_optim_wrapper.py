"""Mixed precision where MMEngine's own wrapper refuses to work: on a CPU."""

from contextlib import contextmanager
from typing import Iterator

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from pckd_mm.registry import OPTIM_WRAPPERS

from .skip_step import SkipStepMixin


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(SkipStepMixin, OptimWrapper):
    """Run the forward pass under bfloat16 autocast, without loss scaling.

    bfloat16 has the exponents of float32, so gradients need no scaling. Works on CPUs
    too, which ``AmpOptimWrapper`` does not. Parameters and updates stay float32.

    Args:
        **kwargs: Arguments of :class:`mmengine.optim.OptimWrapper`.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        device = next(model.parameters()).device.type
        with super().optim_context(model):
            with torch.autocast(device, dtype=torch.bfloat16):
                yield
