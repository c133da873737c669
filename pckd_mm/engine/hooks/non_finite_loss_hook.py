"""A loss that is not finite, and what becomes of the run."""

from typing import Any, Dict, List, NamedTuple, Optional

import torch
from mmengine.dist import all_gather_object, all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmrazor.models import SingleTeacherDistill
from torch import Tensor, nn
from torch.utils.data import Dataset

from pckd_mm.engine.loops import saves_now
from pckd_mm.engine.non_finite import (
    advice,
    describe_images,
    losses_of_step,
    place_of,
    require_finite_weights,
)
from pckd_mm.engine.skip_step import SkipStepMixin
from pckd_mm.registry import HOOKS
from pckd_mm.utils.wrappers import unwrap

ACTIONS = ("stop", "skip")
# In the message hub, which a checkpoint holds: steps left out in a row.
_SKIPPED = "steps_skipped_in_a_row"


class _Step(NamedTuple):
    """What is kept of a step until its losses are read."""

    place: str  # in the run, in words
    losses: List[str]
    flags: Tensor  # on the host: not finite in any process, and each loss in this one
    event: Optional[torch.cuda.Event]  # after which the flags are there
    data_batch: Any
    logits: Optional[Tensor]


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stop a run whose loss is not finite, or leave such steps out.

    The message names iteration, losses and images: those that hold numbers that are
    not finite, or else those whose own cross-entropy is not finite, of a classifier;
    where no image stands out, as in a detector or where another loss is at fault, all
    of the batch. BatchNorm makes all images of a batch share the fault of one.

    ``'stop'`` ends the run in all processes alike by a ``FloatingPointError``. On a GPU
    the losses of a step are read when the next one was handed to the device, so that no
    step waits for its own; but at once before validation, at the end of an epoch, and
    where a checkpoint is due. So no checkpoint is written once a loss was not finite,
    nor one of weights that are not finite, as gradients can make them.

    ``'skip'`` leaves weights, the optimizer's state and the buffers of the model, such
    as BatchNorm's statistics, as they were before the step, in all processes, and says
    so in the log. An EMA then averages the same weights once more. It needs one of the
    optimizer wrappers of :class:`pckd_mm.engine.SkipStepMixin`, waits for the device in
    every step, and copies all buffers before each.

    Weights that are not finite before the first step, the teacher's or those of a
    checkpoint, end the run as well.

    What a ``GradScaler`` finds in scaled gradients is not looked at.

    Args:
        action (str): ``'stop'`` or ``'skip'``. Defaults to ``'stop'``.
        max_skips (int): Steps in a row that may be left out; one more stops the run.
            Defaults to 10.

    Raises:
        ValueError: For another action, or a negative ``max_skips``.
    """

    # In front of what uses the weights: EMAHook is NORMAL, CheckpointHook VERY_LOW.
    priority = "HIGH"

    def __init__(self, action: str = "stop", max_skips: int = 10) -> None:
        if action not in ACTIONS or max_skips < 0:
            raise ValueError(
                f"NonFiniteLossHook found action={action!r} and max_skips={max_skips}; "
                "expected 'stop' or 'skip', and 0 or more."
            )
        self.action = action
        self.max_skips = max_skips
        self._handle: Optional[torch.utils.hooks.RemovableHandle] = None
        self._forget()

    def _forget(self) -> None:
        self._pending: Optional[_Step] = None
        self._logits: Optional[Tensor] = None
        self._buffers: List[Tensor] = []
        self._in_a_row = self._skipped = 0
        self._dataset: Optional[Dataset] = None
        self._origin: Optional[str] = None  # of the weights, until a loss was finite

    def before_train(self, runner: Runner) -> None:
        """Listen to the student's head, and let the optimizer wrapper skip steps.

        Raises:
            FloatingPointError: For weights that are not finite to begin with.
            TypeError: For an optimizer wrapper that cannot, where it has to.
        """
        self._forget()
        self._in_a_row = runner.message_hub.runtime_info.get(_SKIPPED, 0)
        self._dataset = runner.train_dataloader.dataset
        self._origin = runner._load_from
        require_finite_weights(runner)
        wrapper = runner.optim_wrapper
        if self.action == "skip" and not isinstance(wrapper, SkipStepMixin):
            raise TypeError(
                "NonFiniteLossHook(action='skip') found the optimizer wrapper "
                f"{type(wrapper).__name__}; expected one that can leave a step out: "
                "set optim_wrapper.type to pckd_mm.SkipStepOptimWrapper, "
                "pckd_mm.SkipStepAmpOptimWrapper or pckd_mm.BFloat16OptimWrapper."
            )
        if isinstance(wrapper, SkipStepMixin):
            wrapper.skips_non_finite = self.action == "skip"
        model = unwrap(runner.model)
        student = model.student if isinstance(model, SingleTeacherDistill) else model
        self._listen(getattr(student, "head", None))

    def _listen(self, head: Optional[nn.Module]) -> None:
        if self._handle is not None:
            self._handle.remove()
        self._handle = None
        if isinstance(head, nn.Module):
            self._handle = head.register_forward_hook(self._keep_logits)

    def _keep_logits(self, module: nn.Module, inputs: tuple, outputs: Any) -> None:
        if module.training and isinstance(outputs, Tensor) and outputs.ndim == 2:
            self._logits = outputs.detach()

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        if self.action == "skip":
            self._buffers = [x.clone() for x in unwrap(runner.model).buffers()]

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[Dict[str, Tensor]] = None,
    ) -> None:
        """Look at the losses of this step, or on a GPU of the one before.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Index of the batch in the loop.
            data_batch (Any): The batch as the data loader gave it.
            outputs (dict, optional): What ``train_step`` returned.

        Raises:
            FloatingPointError: For a loss that is not finite, of any process.
        """
        logits, self._logits = self._logits, None
        if self.action == "skip":
            self._after_skip(runner, data_batch, outputs, logits)
            return
        step = self._note(runner, data_batch, outputs, logits)
        before, self._pending = self._pending, step
        self._stop_if_bad(before)
        if step is not None and (step.event is None or saves_now(runner)):
            self._flush()

    def after_train_epoch(self, runner: Runner) -> None:
        self._flush()

    def before_val(self, runner: Runner) -> None:
        self._flush()

    def after_train(self, runner: Runner) -> None:
        self._flush()
        self._listen(None)
        if self._skipped:
            runner.logger.warning(f"Left out {self._skipped} steps in this run.")

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to save weights that are not finite; in the main process alone.

        Raises:
            FloatingPointError: For a loss or weights that are not finite.
        """
        pending, self._pending = self._pending, None
        self._stop_if_bad(pending, alone=True)
        for name, parameter in unwrap(runner.model).named_parameters():
            if not parameter.isfinite().all():
                raise FloatingPointError(
                    f"The weights {name} are not finite in {place_of(runner)}, where a "
                    "checkpoint was due; expected finite numbers, so none was written: "
                    "go on from the one before with a lower learning rate or clipped "
                    "gradients (optim_wrapper.clip_grad)."
                )

    @staticmethod
    def _note(
        runner: Runner, data_batch: Any, outputs: Any, logits: Optional[Tensor]
    ) -> Optional[_Step]:
        """Bring what there is to know of the losses to the host, without waiting."""
        losses = losses_of_step(outputs)
        if not losses:
            return None
        flags = ~torch.stack(list(losses.values())).isfinite()
        anywhere = flags.any().to(torch.uint8)
        all_reduce(anywhere, "max")
        flags, event = torch.cat([anywhere[None], flags.to(torch.uint8)]), None
        if flags.is_cuda:
            host = torch.empty_like(flags, device="cpu", pin_memory=True)
            flags = host.copy_(flags, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
        return _Step(place_of(runner), list(losses), flags, event, data_batch, logits)

    def _flush(self) -> None:
        pending, self._pending = self._pending, None
        self._stop_if_bad(pending)

    def _stop_if_bad(self, step: Optional[_Step], alone: bool = False) -> None:
        if step is None:
            return
        if step.event is not None:
            step.event.synchronize()
        anywhere, *flags = step.flags.tolist()
        if anywhere:
            bad = [k for k, is_bad in zip(step.losses, flags, strict=True) if is_bad]
            found = self._describe(step.place, bad, step.data_batch, step.logits, alone)
            raise FloatingPointError(
                f"{found}; expected finite numbers: {advice(bad, self._origin)}, or "
                "clip gradients (optim_wrapper.clip_grad); to leave such steps out, "
                "set default_hooks.non_finite.action=skip. No checkpoint was written "
                "of what came after."
            )
        self._origin = None

    def _after_skip(
        self, runner: Runner, data_batch: Any, outputs: Any, logits: Optional[Tensor]
    ) -> None:
        if not runner.optim_wrapper.skipped:
            self._count_in_a_row(runner, 0)
            self._origin = None
            return
        buffers = unwrap(runner.model).buffers()
        for buffer, before in zip(buffers, self._buffers, strict=True):
            buffer.copy_(before)
        self._count_in_a_row(runner, self._in_a_row + 1)
        self._skipped += 1
        bad = [k for k, v in losses_of_step(outputs).items() if not v.isfinite()]
        message = self._describe(place_of(runner), bad, data_batch, logits)
        if self._in_a_row > self.max_skips:
            raise FloatingPointError(
                f"{message}, as in the {self._in_a_row - 1} steps before; expected "
                f"max_skips={self.max_skips} in a row at most: "
                f"{advice(bad, self._origin)}. "
                "Checkpoints of these steps have the weights from before them."
            )
        runner.logger.warning(f"{message}; left out this step, no. {self._skipped}.")

    def _count_in_a_row(self, runner: Runner, skips: int) -> None:
        if skips != self._in_a_row:
            runner.message_hub.update_info(_SKIPPED, skips)
        self._in_a_row = skips

    def _describe(
        self,
        place: str,
        bad: List[str],
        data_batch: Any,
        logits: Optional[Tensor],
        alone: bool = False,
    ) -> str:
        """The losses of a step that are not finite, their images, of all processes."""
        own = None
        if bad:
            images = describe_images(data_batch, logits, self._dataset)
            own = f"{', '.join(bad)} of {images}"
        told = [own] if alone else all_gather_object(own)
        parts = [
            part if len(told) == 1 else f"in process {rank} {part}"
            for rank, part in enumerate(told)
            if part is not None
        ]
        what = "; ".join(parts) or "losses of another process"
        return f"Not finite in {place}: {what}"
