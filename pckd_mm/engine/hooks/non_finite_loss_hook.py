"""A loss that is not finite: where it came from, and what becomes of the run."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import torch
from mmengine.dataset import BaseDataset
from mmengine.dist import all_gather_object, all_reduce
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.structures import BaseDataElement
from mmrazor.models import SingleTeacherDistill
from torch import Tensor, nn
from torch.utils.data import Dataset

from pckd_mm.engine.skip_step import SkipStepMixin
from pckd_mm.registry import HOOKS
from pckd_mm.utils.printable import printable
from pckd_mm.utils.wrappers import unwrap

ACTIONS = ("stop", "skip")
# In the message hub, which a checkpoint holds: steps left out in a row.
_SKIPPED = "steps_skipped_in_a_row"
# Of more images a message lists the indices without the paths.
_FEW = 8


class _Step(NamedTuple):
    """What is kept of a step until its losses are read."""

    place: str  # in the run, in words
    losses: List[str]
    flags: Tensor  # on the host: not finite in any process, and each loss in this one
    event: Optional[torch.cuda.Event]  # after which the flags are there
    data_batch: Any
    logits: Optional[Tensor]


def image_names(
    data_samples: Sequence[BaseDataElement], dataset: Optional[Dataset] = None
) -> List[str]:
    """What the images of a batch are known by.

    Args:
        data_samples (Sequence[BaseDataElement]): A sample for each image, or one for
            all, whose ``sample_idx`` has B entries.
        dataset (Dataset, optional): Is asked for the path of an image, where one
            sample for all lacks it.

    Returns:
        list[str]: Of each image ``sample_idx``, ``img_id`` and ``img_path``, as far as
        they are known, such as ``'sample_idx 3 (img_path a.png)'``; else its place in
        the batch.
    """
    names = []
    for sample in data_samples:
        places = sample.get("sample_idx")
        if isinstance(places, Tensor) and places.numel() > 1:
            for place in places.flatten().tolist():
                path = _path(dataset, place)
                names.append(f"sample_idx {place}" + (path and f" (img_path {path})"))
            continue
        if isinstance(places, Tensor):
            places = places.item()
        known = dict(
            sample_idx=places,
            img_id=sample.get("img_id"),
            img_path=sample.get("img_path"),
        )
        first, *more = [f"{k} {v}" for k, v in known.items() if v is not None] or [
            f"place {len(names)} in the batch"
        ]
        names.append(f"{first} ({', '.join(more)})" if more else first)
    return names


def _path(dataset: Optional[Dataset], place: int) -> str:
    """Of an image of an ``InMemoryDataset``, unless several data sets are in there."""
    inner = getattr(dataset, "dataset", None)
    if not isinstance(inner, BaseDataset):
        return ""
    return printable(inner.get_data_info(place).get("img_path", ""))


def suspects(inputs: Any, logits: Optional[Tensor], images: int) -> List[int]:
    """Which images of a batch its loss is not finite for.

    Args:
        inputs (Tensor | Sequence[Tensor]): Images as the data loader gave them.
        logits (Tensor, optional): The student's, of V views of each image in
            sample-major order, shape (V * B, C).
        images (int): B.

    Returns:
        list[int]: Images that hold numbers that are not finite; where there are none,
        those whose logits, and so their cross-entropy, are not finite; where there are
        none either, all.
    """
    rows = list(inputs) if isinstance(inputs, (Tensor, list, tuple)) else []
    if len(rows) == images and all(isinstance(row, Tensor) for row in rows):
        found = [k for k, row in enumerate(rows) if not row.isfinite().all()]
        if found:
            return found
    if logits is not None and images and len(logits) % images == 0:
        finite = logits.isfinite().reshape(images, -1).all(dim=1).tolist()
        found = [k for k, is_finite in enumerate(finite) if not is_finite]
        if found:
            return found
    return list(range(images))


def describe_images(
    data_batch: Any, logits: Optional[Tensor], dataset: Optional[Dataset] = None
) -> str:
    """The images that a loss is not finite for, in words.

    Args:
        data_batch (Any): The batch as the data loader gave it.
        logits (Tensor, optional): The student's, shape (V * B, C).
        dataset (Dataset, optional): Where the images are from.

    Returns:
        str: See :func:`image_names` and :func:`suspects`.
    """
    samples = data_batch.get("data_samples") if isinstance(data_batch, dict) else None
    if not samples or not all(isinstance(x, BaseDataElement) for x in samples):
        return "a batch whose images are not known"
    names = image_names(samples, dataset)
    found = suspects(data_batch.get("inputs"), logits, len(names))
    which = "the image" if len(found) == 1 else f"the {len(found)} images"
    if len(found) == len(names) > 1:
        which = f"the batch of {len(names)} images"
    listed = [names[k] for k in found]
    if len(listed) > _FEW:
        listed = [name.split(" (")[0] for name in listed]
        if all(name.startswith("sample_idx ") for name in listed):
            listed[1:] = [name.removeprefix("sample_idx ") for name in listed[1:]]
    return f"{which} with {', '.join(listed)}"


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
        _require_finite_weights(runner)
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
        if step is not None and (step.event is None or self._saves(runner)):
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
                    f"The weights {name} are not finite in {_place(runner)}, where a "
                    "checkpoint was due; expected finite numbers, so none was written: "
                    "go on from the one before with a lower learning rate or clipped "
                    "gradients (optim_wrapper.clip_grad)."
                )

    def _saves(self, runner: Runner) -> bool:
        """Whether a checkpoint is due after this very step."""
        return self.is_last_train_iter(runner) or any(
            not hook.by_epoch
            and self.every_n_train_iters(runner, hook.interval, hook.save_begin)
            for hook in runner.hooks
            if isinstance(hook, CheckpointHook)
        )

    @staticmethod
    def _note(
        runner: Runner, data_batch: Any, outputs: Any, logits: Optional[Tensor]
    ) -> Optional[_Step]:
        """Bring what there is to know of the losses to the host, without waiting."""
        losses = _losses(outputs)
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
        return _Step(_place(runner), list(losses), flags, event, data_batch, logits)

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
                f"{found}; expected finite numbers: {self._advice(bad)}, or clip "
                "gradients (optim_wrapper.clip_grad); to leave such steps out, set "
                "default_hooks.non_finite.action=skip. No checkpoint was written of "
                "what came after."
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
        bad = [k for k, v in _losses(outputs).items() if not v.isfinite()]
        message = self._describe(_place(runner), bad, data_batch, logits)
        if self._in_a_row > self.max_skips:
            raise FloatingPointError(
                f"{message}, as in the {self._in_a_row - 1} steps before; expected "
                f"max_skips={self.max_skips} in a row at most: {self._advice(bad)}. "
                "Checkpoints of these steps have the weights from before them."
            )
        runner.logger.warning(f"{message}; left out this step, no. {self._skipped}.")

    def _count_in_a_row(self, runner: Runner, skips: int) -> None:
        if skips != self._in_a_row:
            runner.message_hub.update_info(_SKIPPED, skips)
        self._in_a_row = skips

    def _advice(self, bad: List[str]) -> str:
        """What to do about losses that are not finite."""
        advice = "look at these images"
        if any("distill." in k for k in bad) and not any("student." in k for k in bad):
            advice += ", at the losses of distillation and their weights"
        if self._origin is not None:
            advice += (
                f", go on from another checkpoint than {self._origin}, whose weights "
                "may be at fault"
            )
        return f"{advice}, train anew with a lower learning rate"

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


def _losses(outputs: Any) -> Dict[str, Tensor]:
    """The entries of a step's output that MMEngine takes as losses."""
    return {
        name: value.detach().reshape(())
        for name, value in (outputs or {}).items()
        if "loss" in name and isinstance(value, Tensor) and value.numel() == 1
    }


def _place(runner: Runner) -> str:
    place = f"iteration {runner.iter + 1}"
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        place += f" (epoch {runner.epoch + 1})"
    return place


def _require_finite_weights(runner: Runner) -> None:
    """Refuse to train from, or with, what an overflow or a damaged file has left."""
    model = unwrap(runner.model)
    networks = {"the model": (model, runner._load_from)}
    if isinstance(model, SingleTeacherDistill):
        source = getattr(model, "teacher_ckpt", None)
        networks["the teacher"] = (model.teacher, source)
    for owner, (network, source) in networks.items():
        bad = [k for k, v in network.named_parameters() if not v.isfinite().all()]
        # Other buffers may be masks, or not set yet.
        bad += [
            k
            for k, v in network.named_buffers()
            if "running_" in k and not v.isfinite().all()
        ]
        if bad:
            remedy = "mend what initialises them"
            if source:
                remedy = f"take another checkpoint than {source}, or {remedy}"
            raise FloatingPointError(
                f"{bad[0]} of {owner} is not finite before the first step, as are "
                f"{len(bad)} of its tensors in all; expected finite weights: {remedy}."
            )
