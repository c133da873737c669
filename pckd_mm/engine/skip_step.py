"""Optimizer wrappers that can leave a step out."""

from functools import reduce
from typing import Optional

import torch
from mmengine.dist import all_reduce
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import Tensor

from pckd_mm.registry import OPTIM_WRAPPERS


class SkipStepMixin(OptimWrapper):
    """Leave out the steps of losses that are not finite, where it is turned on.

    :class:`pckd_mm.engine.NonFiniteLossHook` turns it on. Neither weights nor the
    optimizer's state nor the scale of a ``GradScaler`` change in such a step, in any
    process: one process with a loss that is not finite is enough. Every step then
    waits for the device, to know the loss.

    Of accumulated gradients only those of this batch are left out: the step of the
    other batches takes place, in which each weighs as much as ever. It mixes with
    MMEngine's wrappers, in front of them.
    """

    skips_non_finite: bool = False
    """Whether steps of losses that are not finite are left out."""

    skipped: bool = False
    """Whether the last batch was left out."""

    # Whether there are gradients of batches whose step is still to come.
    _accumulated = False

    def update_params(
        self,
        loss: Tensor,
        step_kwargs: Optional[dict] = None,
        zero_kwargs: Optional[dict] = None,
    ) -> None:
        """Backward pass and step, as MMEngine's wrappers do them, or neither.

        Args:
            loss (Tensor): Loss of the batch, a scalar.
            step_kwargs (dict, optional): Arguments of the optimizer's ``step``.
            zero_kwargs (dict, optional): Arguments of its ``zero_grad``.
        """
        self.skipped = self.skips_non_finite and self._is_non_finite(loss)
        if self.skipped:
            if not (self._accumulated and self.should_sync()):
                self._inner_count += 1
                return
            # The step of the batches before is due; a backward pass of zeros makes DDP
            # average their gradients.
            loss = self._zero()
        super().update_params(loss, step_kwargs, zero_kwargs)
        self._accumulated = not self.should_update()

    @staticmethod
    def _is_non_finite(loss: Tensor) -> bool:
        bad = (~loss.detach().isfinite().all()).to(torch.uint8)
        all_reduce(bad, "max")
        return bool(bad)

    def _zero(self) -> Tensor:
        parts = (
            0 * parameter.sum()
            for group in self.optimizer.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        )
        return reduce(torch.add, parts)


@OPTIM_WRAPPERS.register_module()
class SkipStepOptimWrapper(SkipStepMixin, OptimWrapper):
    """MMEngine's ``OptimWrapper`` that can leave a step out.

    Args:
        **kwargs: Arguments of :class:`mmengine.optim.OptimWrapper`.
    """


@OPTIM_WRAPPERS.register_module()
class SkipStepAmpOptimWrapper(SkipStepMixin, AmpOptimWrapper):
    """MMEngine's ``AmpOptimWrapper`` that can leave a step out.

    Gradients that overflow by the scale of the loss are the ``GradScaler``'s, as ever.

    Args:
        **kwargs: Arguments of :class:`mmengine.optim.AmpOptimWrapper`.
    """
