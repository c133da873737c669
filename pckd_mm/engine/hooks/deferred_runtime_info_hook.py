"""The losses of a run in its log, without a wait for the device in every step."""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

import numpy as np
import torch
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.runner import Runner
from mmengine.utils import apply_to
from torch import Tensor

from pckd_mm.engine.histories import let_histories_grow
from pckd_mm.registry import HOOKS

Number = Union[int, float]
# What one transfer can bring: a device, and whether the numbers are floating point.
# Among these, promotion to a common dtype is exact.
_Kind = Tuple[torch.device, bool]


class _Kept(NamedTuple):
    """One value of a step's output: a number, or the next tensor of a kind."""

    key: str
    number: Optional[Number] = None
    kind: Optional[_Kind] = None
    is_bool: bool = False


@HOOKS.register_module()
class DeferredRuntimeInfoHook(RuntimeInfoHook):
    """MMEngine's hook, which reads the device when the log is written only.

    ``RuntimeInfoHook`` hands each entry of a step's output to the message hub at once:
    the host waits for the device several times in every step. This hook keeps the
    entries where they are and hands them over, in their order, each exactly once and
    with the values of ``RuntimeInfoHook``, in one transfer (one for each device, and
    one more for integers) when somebody reads them:

    - in the iterations that a ``LoggerHook`` logs, and at the end of an epoch;
    - before validation, at the end of the training and for a checkpoint, which thus
      has the complete history of the run;
    - after ``max_steps`` steps, so that little is held whatever the logger's interval,
      or without a logger.

    In between, code that looks up ``train/*`` losses in the message hub finds those of
    the last transfer; a hook that needs them in every step takes ``outputs``. Learning
    rates and times, which are numbers of the host, are there in every step. Histories
    grow without a copy of them for each value
    (:class:`pckd_mm.engine.histories.GrowingHistory`).

    In a config it takes the place of MMEngine's hook::

        default_hooks = dict(runtime_info=dict(type="pckd_mm.DeferredRuntimeInfoHook"))

    Args:
        max_steps (int): Steps that are kept at most. Defaults to 100.

    Raises:
        ValueError: For ``max_steps`` below 1.
    """

    def __init__(self, max_steps: int = 100) -> None:
        if max_steps < 1:
            raise ValueError(
                f"DeferredRuntimeInfoHook found max_steps={max_steps}; expected 1 or "
                "more, where 1 reads every step at once."
            )
        self.max_steps = max_steps
        self._intervals: List[int] = []
        self._forget()

    def _forget(self) -> None:
        self._steps = 0
        self._entries: List[_Kept] = []
        self._tensors: Dict[_Kind, List[Tensor]] = {}

    def before_run(self, runner: Runner) -> None:
        # What an interrupted run left, before a resumed history replaces it.
        self.flush(runner)
        super().before_run(runner)

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        let_histories_grow(runner.message_hub)  # which may be a resumed run's
        self._intervals = [
            hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)
        ]

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[Dict[str, Union[Tensor, np.ndarray, Number]]] = None,
    ) -> None:
        """Keep the step's output, and hand over what is kept where it is due.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Index of the batch in the loop.
            data_batch (Any): Not used.
            outputs (dict, optional): What ``train_step`` returned, scalars.

        Raises:
            ValueError: For an output that is no scalar.
        """
        self._keep(outputs or {})
        # Where LoggerHook reads: it goes by the index in the loop, whatever the loop.
        logged = any(
            self.every_n_inner_iters(batch_idx, interval)
            or self.end_of_epoch(runner.train_dataloader, batch_idx)
            for interval in self._intervals
        )
        if logged or self._steps >= self.max_steps:
            self.flush(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        self.flush(runner)

    def before_val(self, runner: Runner) -> None:
        self.flush(runner)
        super().before_val(runner)

    def after_train(self, runner: Runner) -> None:
        self.flush(runner)
        super().after_train(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Complete the history in the checkpoint.

        The runner collected it before it called the hooks.
        """
        if self._steps == 0:
            return
        self.flush(runner)
        checkpoint["message_hub"] = apply_to(
            runner.message_hub.state_dict(),
            lambda x: hasattr(x, "cpu"),
            lambda x: x.cpu(),
        )

    def _keep(self, outputs: dict) -> None:
        if not outputs:
            return
        of_step: Dict[_Kind, List[Tensor]] = {}
        for name, value in outputs.items():
            key = f"train/{name}"
            if isinstance(value, Tensor) and value.numel() == 1:
                value = value.detach().reshape(())
                kind = (value.device, value.is_floating_point())
                of_step.setdefault(kind, []).append(value)
                is_bool = value.dtype == torch.bool
                self._entries.append(_Kept(key, kind=kind, is_bool=is_bool))
            elif isinstance(value, (np.ndarray, np.number)) and value.size == 1:
                self._entries.append(_Kept(key, number=value.item()))
            elif isinstance(value, (int, float)):
                self._entries.append(_Kept(key, number=value))
            else:
                found = getattr(value, "shape", type(value).__name__)
                raise ValueError(
                    f"The output {name!r} of train_step is no scalar, found "
                    f"{found}; expected one number or a tensor of one element to log: "
                    "reduce it, or leave it out."
                )
        # A copy, since the next step may overwrite its outputs, as CUDA graphs do.
        for kind, tensors in of_step.items():
            self._tensors.setdefault(kind, []).append(torch.stack(tensors))
        self._steps += 1

    def flush(self, runner: Runner) -> None:
        """Hand all that is kept to the message hub.

        Args:
            runner (Runner): The runner.
        """
        read = {
            kind: iter(torch.cat(tensors).tolist())
            for kind, tensors in self._tensors.items()
        }
        values: Dict[str, List[Number]] = {}
        for entry in self._entries:
            value: Any = entry.number
            if entry.kind is not None:
                value = next(read[entry.kind])
            value = bool(value) if entry.is_bool else value
            values.setdefault(entry.key, []).append(value)
        self._forget()
        for key, of_key in values.items():
            for value in of_key:
                runner.message_hub.update_scalar(key, value)
        # Those that are new, of any hook.
        let_histories_grow(runner.message_hub)
