"""The same networks, faster."""

from typing import List, Union

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier
from mmrazor.models import SingleTeacherDistill
from torch import Tensor, nn
from torch.optim import Optimizer

from pckd_mm.engine.dry_run import dry_run
from pckd_mm.registry import HOOKS
from pckd_mm.utils.compilation import begin_step, compile_network
from pckd_mm.utils.cpu_memory import keep_freed_memory
from pckd_mm.utils.wrappers import unwrap


def use_fused_kernel(optimizer: Optimizer, device: torch.device) -> bool:
    """Let an optimizer update all parameters in one kernel.

    Args:
        optimizer (Optimizer): One of torch's, such as SGD, with or without state.
        device (torch.device): Where its parameters are.

    Returns:
        bool: Whether it does; False, and nothing changed, where torch has no such
        kernel.
    """
    try:
        type(optimizer)([torch.zeros(1, device=device)], lr=0.1, fused=True)
    except (TypeError, ValueError, RuntimeError):
        print_log(
            f"torch has no fused kernel of {type(optimizer).__name__} on {device.type}",
            logger="current",
        )
        return False
    for group in optimizer.param_groups:
        group.update(fused=True, foreach=False)
    optimizer._step_supports_amp_scaling = True  # as its constructor would say
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


def _name(network: nn.Module, networks: List[nn.Module]) -> str:
    """What a network is called among those of a run."""
    if len(networks) == 1:
        return f"the {type(network).__name__}"
    return "the student" if network is networks[0] else "the teacher"


@HOOKS.register_module()
class SpeedUpHook(Hook):
    """Make the networks of a run fast before it begins, whatever the run is.

    Keeping memory does not change what is computed, and is the default; the others
    round differently. docs/speed.md says what each gains, and when it does not apply.

    Args:
        channels_last (bool): Whether the weights of classifiers lie with channels last,
            as the inputs do that :class:`pckd_mm.models.RotatedViewsDataPreprocessor`
            gives. Weights that DDP distributes stay as they are, and so do detectors,
            since mmcv's operators read tensors as if they were contiguous. Defaults to
            False.
        keep_memory (bool): Whether a process on the CPU keeps the memory of freed
            tensors (:func:`pckd_mm.utils.cpu_memory.keep_freed_memory`). Defaults to
            True.
        fold_teacher (bool): Whether the teacher's BatchNorm is folded into its
            convolutions. Defaults to False.
        fused_optimizer (bool): Whether the optimizer updates all parameters in one
            kernel, where torch has one for it and the device. Defaults to False.
        compile (bool | dict): Whether backbone and neck of all networks go through
            :func:`torch.compile`, or the arguments for it, such as
            ``dict(mode="reduce-overhead")`` for CUDA graphs. Without ``dynamic`` for
            classifiers only: a detector's images have many sizes, and each would be
            compiled for. Defaults to False.
    """

    # Behind PreflightHook, whose two images would be compiled for, and in front of
    # WholeCheckpointHook, which may validate first.
    priority = 92

    def __init__(
        self,
        channels_last: bool = False,
        keep_memory: bool = True,
        fold_teacher: bool = False,
        fused_optimizer: bool = False,
        compile: Union[bool, dict] = False,
    ) -> None:
        self.channels_last = channels_last
        self.keep_memory = keep_memory
        self.fold_teacher = fold_teacher
        self.fused_optimizer = fused_optimizer
        self.compile = compile

    def before_train(self, runner: Runner) -> None:
        """Change networks and optimizer in place."""
        if runner.iter >= runner.max_iters:
            return  # a finished run was resumed
        model = unwrap(runner.model)
        networks = [model]
        if isinstance(model, SingleTeacherDistill):
            networks = [model.student, model.teacher]
        device = next(model.parameters()).device
        done = []
        if self.keep_memory and device.type == "cpu" and keep_freed_memory():
            done.append("freed memory kept")
        if self.channels_last:
            for network in networks:
                of_ddp = network is networks[0] and is_model_wrapper(runner.model)
                if isinstance(network, ImageClassifier) and not of_ddp:
                    network.to(memory_format=torch.channels_last)
                    done.append(f"channels last in {_name(network, networks)}")
        if self.fold_teacher and hasattr(model, "fold_teacher"):
            folded = model.fold_teacher(lambda: dry_run(model, runner.train_dataloader))
            done.append(f"{folded} BatchNorms of the teacher folded")
        wrappers = [runner.optim_wrapper]
        if isinstance(runner.optim_wrapper, OptimWrapperDict):
            wrappers = runner.optim_wrapper.values()
        for wrapper in wrappers:
            restore_kernel(wrapper.optimizer)
            if self.fused_optimizer and use_fused_kernel(wrapper.optimizer, device):
                done.append(f"{type(wrapper.optimizer).__name__} fused")
            done.append(f"steps by {type(wrapper).__name__}")
        settings = dict(self.compile) if isinstance(self.compile, dict) else {}
        for network in networks if self.compile else []:
            names = []
            if isinstance(network, ImageClassifier) or settings.get("dynamic"):
                names = compile_network(network, **settings)
            # Detectors, whose images have many sizes, are not compiled without it.
            which = ", ".join(names) or "nothing"
            done.append(f"{which} of {_name(network, networks)} compiled")
        print_log(f"Speed-ups: {'; '.join(done)}.", logger="current")

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None):
        """Tell CUDA graphs that the outputs of the last step are done with."""
        if self.compile:
            begin_step()
