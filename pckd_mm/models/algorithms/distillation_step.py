"""A step of distillation: what runs, what is recorded, what becomes of the losses."""

import logging
from abc import abstractmethod
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, Union

import torch
from mmengine.logging import MessageHub, print_log
from mmrazor.models.task_modules.recorder import ModuleOutputsRecorder
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from mmrazor.models.utils import add_prefix
from torch import Tensor, nn

from pckd_mm.models.distillers.batch_records import PROGRESS
from pckd_mm.models.task_modules.stage_outputs_recorder import StageOutputsRecorder
from pckd_mm.utils.processes import in_group

from .frozen_teacher import FrozenTeacher


def training_progress() -> Optional[float]:
    """Share of the training done, as MMEngine's runner keeps it.

    Returns:
        float, optional: (epoch + 1) / max_epochs; in loops of a single epoch, as
        iteration-based ones are, (iter + 1) / max_iters; None outside of a runner.
    """
    info = MessageHub.get_current_instance().runtime_info
    if info.get("loop_stage") is None:  # the runner is not there, or is done
        return None
    if info["max_epochs"] > 1:
        return (info["epoch"] + 1) / info["max_epochs"]
    return (info["iter"] + 1) / info["max_iters"]


# By name; of several parts, as of the levels of a pyramid, a list.
Losses = Dict[str, Union[Tensor, List[Tensor]]]


class DistillationStep(FrozenTeacher):
    """Run a student and its frozen teacher on a batch, and compute all losses.

    A subclass says what runs and is recorded: :meth:`_record`.
    """

    # Set by the constructor of the algorithm.
    _progress: Optional[float]
    # Called with the losses of each step while their graph is there.
    on_losses: Optional[Callable[[Losses], None]]

    @abstractmethod
    def _record(self, batch_inputs: Tensor, data_samples: list) -> Dict[str, Tensor]:
        """Run both networks, hand the batch to the distiller, give the own losses."""

    def _plain_loss(self, batch_inputs: Tensor, data_samples: list) -> Losses:
        """The student's own losses, when distillation was stopped."""
        return self.student.loss(batch_inputs, data_samples)

    @property
    def progress(self) -> float:
        """float: Share of the training done, in (0, 1]; the runner's unless set."""
        progress = self._progress
        if progress is None:
            progress = training_progress()
        if progress is None:
            print_log(
                "Distillation runs outside of a runner: preview and losses take "
                "the training as done. Set algorithm.progress in a loop of your own.",
                logger="current",
                level=logging.WARNING,
            )
            return 1.0
        return progress

    @progress.setter
    def progress(self, value: Optional[float]) -> None:
        self._progress = value

    def loss(self, batch_inputs: Tensor, data_samples: list) -> Dict[str, Tensor]:
        """Compute the student's losses and the distiller's.

        Args:
            batch_inputs (Tensor): Inputs as the subclass takes them.
            data_samples (list[BaseDataElement]): The images' labels.

        Returns:
            dict[str, Tensor]: ``student.*`` and ``distill.*`` losses.
        """
        if self.distillation_stopped:
            if not self.calculate_student_loss:
                raise ValueError(
                    f"{type(self).__name__} found its distillation stopped and "
                    "calculate_student_loss=False, so that nothing is left to learn "
                    "from; expected one of both: leave out the hook that stops it, or "
                    "set calculate_student_loss=True."
                )
            self.distiller.forget_preview()
            plain = self._plain_loss(batch_inputs, data_samples)
            return add_prefix(with_gradients_for(self.distiller, plain), "student")
        self._prepare()
        try:
            losses = self._record(batch_inputs, data_samples)
            self._check_gradients()
            distill_losses = self.distiller.compute_distill_losses()
        finally:
            self.distiller.release_records()
        if not self.calculate_student_loss:
            losses = {}
            if in_group():
                distill_losses = with_gradients_for(self.student, distill_losses)
        return {
            **add_prefix(losses, "student"),
            **add_prefix(distill_losses, "distill"),
        }

    def parse_losses(self, losses: Losses) -> Tuple[Tensor, Dict[str, Tensor]]:
        """Add up what is a loss, see :class:`mmengine.model.BaseModel`.

        Args:
            losses (dict[str, Tensor | list[Tensor]]): What :meth:`loss` gives.

        Returns:
            tuple[Tensor, dict[str, Tensor]]: The sum, and what the log gets.
        """
        if self.on_losses is not None:
            self.on_losses(losses)
        return super().parse_losses(losses)

    def _check_gradients(self) -> None:
        """Refuse records that the layers behind them would learn nothing from.

        What activation checkpointing (``with_cp``) runs has no gradient inside: it runs
        again for that, when nothing is recorded any more.
        """
        if not torch.is_grad_enabled():
            return
        for name, recorder in self.distiller.student_recorders.recorders.items():
            if not self.distiller.asks_for(name):
                continue
            for layer, output in self._outputs_of(recorder):
                learns = any(weight.requires_grad for weight in layer.parameters())
                if learns and isinstance(output, Tensor) and not output.requires_grad:
                    raise RuntimeError(
                        f"The student recorder {name} recorded {recorder.source!r} "
                        "without gradient, so that its layers would learn nothing from "
                        "it; expected layers that are not inside of what activation "
                        "checkpointing runs: record the output of the whole block, or "
                        "set with_cp=False."
                    )

    def _outputs_of(self, recorder: BaseRecorder) -> Iterator[tuple]:
        """Layers of the student and what was recorded of each."""
        if isinstance(recorder, StageOutputsRecorder):
            for outputs in recorder.data_buffer:
                yield from zip(recorder.modules(self.student), outputs, strict=True)
        elif isinstance(recorder, ModuleOutputsRecorder):
            layer = self.student.get_submodule(recorder.source)
            for output in recorder.data_buffer:
                yield layer, output

    def _asked_for(self, sample_loss: Callable[[], Tensor]) -> Dict[str, Any]:
        """What preview and losses need to know of the batch beside its labels."""
        asked: Dict[str, Any] = {}
        has_preview = self.distiller.preview is not None
        if has_preview:
            asked["sample_loss"] = sample_loss()
        if has_preview or self.distiller.asks_for(PROGRESS):
            asked["progress"] = self.progress
        return asked


def with_gradients_for(
    module: nn.Module, losses: Mapping[str, Union[Tensor, List[Tensor]]]
) -> Losses:
    """Losses of the same values that have a gradient, be it zero, for each parameter.

    DDP waits for one of each.
    """
    learning = [weight for weight in module.parameters() if weight.requires_grad]
    nothing = 0 * sum(weight.sum() for weight in learning)
    name = next(name for name in losses if "loss" in name)
    first = losses[name]
    if isinstance(first, Tensor):
        return {**losses, name: first + nothing}
    return {**losses, name: [first[0] + nothing, *first[1:]]}


def weighed(losses: Dict[str, Tensor], share: float) -> Dict[str, Tensor]:
    """Losses times a share, and what else a head reports as it is."""
    if share == 1:
        return losses
    return {k: v * share if "loss" in k else v for k, v in losses.items()}
