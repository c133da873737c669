"""Mixed precision where MMEngine's own wrapper refuses to work: on a CPU."""

from contextlib import contextmanager
from typing import Any, Iterator, List, Optional, Tuple

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from pckd_mm.registry import OPTIM_WRAPPERS
from pckd_mm.utils.precision import NO_BFLOAT16, has_fast_bfloat16

from .feature_autocast import autocast_features, feature_layers
from .skip_step import SkipStepMixin


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(SkipStepMixin, OptimWrapper):
    """Run the forward pass under bfloat16 autocast, without loss scaling.

    bfloat16 has the exponents of float32, so gradients need no scaling. Works on CPUs
    too, which ``AmpOptimWrapper`` does not. Parameters and updates stay float32.

    Of a detector on a CPU it is the layers in front of the predictions alone, see
    :mod:`pckd_mm.engine.feature_autocast`.

    On a CPU without instructions for bfloat16 everything stays float32, since bfloat16
    would be slower than float32 there.

    Args:
        force (bool): Whether to take bfloat16 there all the same. Defaults to False.
        **kwargs: Arguments of :class:`mmengine.optim.OptimWrapper`.
    """

    def __init__(self, force: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.force = force
        # The model, and its layers that are looked for once and not in each step.
        self._looked_into: Optional[Tuple[nn.Module, List[nn.Module]]] = None

    def _layers(self, model: nn.Module) -> List[nn.Module]:
        if self._looked_into is None or self._looked_into[0] is not model:
            self._looked_into = model, feature_layers(model)
        return self._looked_into[1]

    def _is_slow(self, device: str) -> bool:
        return device == "cpu" and not has_fast_bfloat16()

    def precision(self, device: str) -> str:
        """What a step computes in on a device.

        Args:
            device (str): Its type, such as ``cpu``.

        Returns:
            str: The number type, and why it is not bfloat16.
        """
        if not self._is_slow(device):
            return "bfloat16"
        if self.force:
            return "bfloat16, slow on this CPU, which has no instructions for it"
        return f"float32, since {NO_BFLOAT16}"

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        device = next(model.parameters()).device.type
        with super().optim_context(model):
            if self._is_slow(device) and not self.force:
                yield
                return
            layers = self._layers(model) if device == "cpu" else []
            autocast = (
                autocast_features(layers, device)
                if layers
                else torch.autocast(device, dtype=torch.bfloat16)
            )
            with autocast:
                yield
