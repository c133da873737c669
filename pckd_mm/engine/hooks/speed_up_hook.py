"""The same networks, faster."""

from functools import partial
from typing import Any, Union

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmpretrain.models import BaseClassifier
from torch import nn

from pckd_mm.engine.channels_last import (
    AUTO,
    Candidate,
    unsafe_convolution,
    use_channels_last,
)
from pckd_mm.engine.data_on_device import put_data_on_device
from pckd_mm.engine.loops import has_ended
from pckd_mm.engine.optim_wrappers import number_type
from pckd_mm.engine.run_networks import RunNetworks, slower_fused
from pckd_mm.engine.trial import try_out
from pckd_mm.registry import HOOKS
from pckd_mm.utils.compilation import begin_step, compile_network
from pckd_mm.utils.cpu_memory import keep_freed_memory
from pckd_mm.utils.fused_optimizer import restore_kernel, use_fused_kernel

_NOT_ASKED = "off, not asked for"
# In a checkpoint: by network, whether a measurement chose channels last.
_CHOSEN = "channels_last"


@HOOKS.register_module()
class SpeedUpHook(Hook):
    """Make the networks of a run fast before it begins, whatever the run is.

    Keeping memory does not change what is computed, and is the default; the others
    round differently. The log has one line that says of each what is on, and why
    something is not. docs/speed.md says what each gains, and when it does not apply.

    Args:
        channels_last (bool | str): Whether weights and inputs of classifiers lie with
            channels last, or ``"auto"``: on a GPU they do, on a CPU where some passes
            in the beginning are faster so. Weights that DDP distributes stay as they
            are, and so do detectors, since mmcv's operators read tensors as if they
            were contiguous. Networks that fail in that layout keep the other one, and
            so do those with a convolution that it is not safe for
            (:func:`pckd_mm.engine.channels_last.unsafe_convolution`). Defaults to
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
            compiled for. On a CPU networks with an unsafe convolution are not compiled,
            since torch gives compiled networks channels last there. Defaults to False.
        data_on_device (bool): Whether the images of
            :class:`pckd_mm.datasets.InMemoryDataset` lie on the device of the networks,
            where they fit. Batches are the same. Defaults to False.

    Raises:
        ValueError: For another ``channels_last``.
    """

    # Behind PreflightHook, whose two images would be compiled for, and in front of
    # WholeCheckpointHook, which may validate first.
    priority = 92

    def __init__(
        self,
        channels_last: Union[bool, str] = False,
        keep_memory: bool = True,
        fold_teacher: bool = False,
        fused_optimizer: bool = False,
        compile: Union[bool, dict] = False,
        data_on_device: bool = False,
    ) -> None:
        if channels_last not in (True, False, AUTO):
            raise ValueError(
                f"SpeedUpHook found channels_last={channels_last!r}; expected True, "
                f"False or {AUTO!r}: set default_hooks.speed_up.channels_last to one."
            )
        self.channels_last = channels_last
        self.keep_memory = keep_memory
        self.fold_teacher = fold_teacher
        self.fused_optimizer = fused_optimizer
        self.compile = compile
        self.data_on_device = data_on_device

    def before_train(self, runner: Runner) -> None:
        """Change networks and optimizer in place."""
        if has_ended(runner):
            return  # a finished run was resumed
        run = RunNetworks(runner)
        # In this order: a compiled network is not changed any more.
        done = {
            "keep_memory": self._keep_memory(run),
            "data_on_device": self._put_data(run),
            "channels_last": self._use_channels_last(run),
            "fold_teacher": self._fold_teacher(run),
            "fused_optimizer": self._fuse_optimizer(run),
        }
        # Which is compared with float32, that nothing is compiled for.
        precision = self._precision(run)
        done.update(compile=self._compile(run), precision=precision)
        words = "; ".join(f"{option}: {what}" for option, what in done.items())
        print_log(f"Speed-ups: {words}.", logger="current")

    def _keep_memory(self, run: RunNetworks) -> str:
        if not self.keep_memory:
            return _NOT_ASKED
        if not run.on_cpu:
            return f"off, the networks are on {run.device.type}"
        return "on" if keep_freed_memory() else "off, the C library is not glibc"

    def _put_data(self, run: RunNetworks) -> str:
        if not self.data_on_device:
            return _NOT_ASKED
        return put_data_on_device(run.runner, run.device, run.teacher_is_elsewhere)

    def _use_channels_last(self, run: RunNetworks) -> str:
        if not self.channels_last:
            return _NOT_ASKED
        trials = run.trials()
        if not trials:
            return "off, it is for classifiers"
        distiller = getattr(run.model, "distiller", None)
        beside = [distiller] if isinstance(distiller, nn.Module) else []
        inputs, failure = try_out(partial(run.inputs, trials))
        if inputs is None:  # of a network that trains, but not two images
            return f"off, two images alone fail ({failure})"
        candidates = {}
        for name, trial in trials.items():
            candidates[name] = Candidate(trial, inputs.get(name), trial.of_ddp, beside)
        info = run.runner.message_hub.runtime_info
        chosen, words = use_channels_last(
            run.model,
            candidates,
            self.channels_last,
            run.step,
            run.on_cpu,
            earlier=info.get(_CHOSEN) if self.channels_last == AUTO else None,
        )
        if run.on_cpu and self.channels_last == AUTO:
            # A resumed run is to round as the one before, whatever it would measure.
            run.runner.message_hub.update_info(_CHOSEN, chosen)
        return words

    def _fold_teacher(self, run: RunNetworks) -> str:
        if not self.fold_teacher:
            return _NOT_ASKED
        if not hasattr(run.model, "fold_teacher"):
            return "off, there is no teacher to fold"
        if run.teacher_is_elsewhere:
            return "off, another process runs the teacher"
        with run.timed(["the teacher"]) as told:
            folded = run.model.fold_teacher(run.step)
        if folded == 0:
            return "off, no BatchNorm of the teacher follows a convolution alone"
        return f"on, {folded} BatchNorms of the teacher folded{told['the teacher']}"

    def _fuse_optimizer(self, run: RunNetworks) -> str:
        words = []
        for wrapper in run.wrappers:
            restore_kernel(wrapper.optimizer)
            name = type(wrapper.optimizer).__name__
            if not self.fused_optimizer:
                words = [_NOT_ASKED]
            elif use_fused_kernel(wrapper.optimizer, run.device):
                words.append(f"on in {name}{slower_fused(wrapper.optimizer)}")
            else:
                words.append(
                    f"off in {name}, of which torch has no fused kernel on "
                    f"{run.device.type}"
                )
        return ", ".join(words)

    @staticmethod
    def _precision(run: RunNetworks) -> str:
        words = []
        for wrapper in run.wrappers:
            found = number_type(wrapper, run.device)
            if not found.startswith("float32"):
                found += run.slower_than_float32()
            words.append(f"{found}, by {type(wrapper).__name__}")
        return ", ".join(words)

    def _compile(self, run: RunNetworks) -> str:
        if not self.compile:
            return _NOT_ASKED
        settings = dict(self.compile) if isinstance(self.compile, dict) else {}
        words = {name: self._not_compiled(run, name, settings) for name in run.networks}
        takes_it = [name for name, why in words.items() if not why]
        with run.timed(takes_it) as told:
            for name in takes_it:
                parts = compile_network(run.networks[name], **settings)
                words[name] = f"on in {', '.join(parts) or 'nothing'} of {name}"
        for name in takes_it:
            words[name] += told[name]
        return ", ".join(words.values())

    @staticmethod
    def _not_compiled(run: RunNetworks, name: str, settings: dict) -> str:
        """Why a network is not compiled, in words; nothing if it is."""
        if name in run.idle:
            return f"off in {name}, which another process runs"
        network = run.networks[name]
        if not (isinstance(network, BaseClassifier) or settings.get("dynamic")):
            return f"off in {name}, a detector, whose images have many sizes"
        unsafe = unsafe_convolution(network)
        by_inductor = settings.get("backend", "inductor") == "inductor"
        if run.on_cpu and by_inductor and unsafe is not None:
            return (
                f"off in {name} (it has {unsafe}, which is not safe on a CPU with "
                "channels last, as compiled networks have it)"
            )
        return ""

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Tell CUDA graphs that the outputs of the last step are done with."""
        if self.compile:
            begin_step()
