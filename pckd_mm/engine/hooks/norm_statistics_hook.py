"""Running statistics of normalisation layers that are those of all processes."""

from typing import Any, List, Optional

from mmengine.dist import all_reduce_params, get_world_size
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from pckd_mm.engine.loops import counts_epochs, saves_now
from pckd_mm.registry import HOOKS
from pckd_mm.utils.wrappers import unwrap

STATISTICS = ("running_mean", "running_var")


@HOOKS.register_module()
class NormStatisticsHook(Hook):
    """Average running mean and variance over processes, before they are used.

    Each process has those of its own images, and validates its part of the validation
    images with them, while a checkpoint has those of the first one: the metric would be
    of no network that is saved. MMEngine's ``SyncBuffersHook`` averages all buffers,
    CRD's memories and counters too.

    It is done after each epoch; where a loop counts iterations, before those that are
    validated or saved. Layers in evaluation mode have the same in all processes. The
    averages of an ``EMAHook`` get theirs as well.
    """

    priority = "VERY_HIGH"  # before the checkpoint is written

    def after_train_epoch(self, runner: Runner) -> None:
        self._share(runner)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[dict] = None,
    ) -> None:
        if get_world_size() > 1 and not counts_epochs(runner):
            validates = self.every_n_train_iters(runner, runner.train_loop.val_interval)
            if validates or saves_now(runner):
                self._share(runner)

    def _share(self, runner: Runner) -> None:
        if get_world_size() == 1:
            return
        model = unwrap(runner.model)
        names = [
            name
            for name, module in model.named_modules()
            if isinstance(module, _NormBase) and module.training
        ]
        averaged = [
            hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)
        ]
        tensors: List[Tensor] = []
        for network in (model, *(ema.module for ema in averaged)):
            tensors += _statistics(network, names)
        all_reduce_params(tensors, op="mean")


def _statistics(network: nn.Module, names: List[str]) -> List[Tensor]:
    """Running means and variances of layers, without those that keep none."""
    layers = map(network.get_submodule, names)
    found = (getattr(layer, kind) for layer in layers for kind in STATISTICS)
    return [tensor for tensor in found if tensor is not None]
