"""How far a run is, in one line of a terminal that is rewritten."""

import datetime
import sys
import time
from typing import Any, Dict, List, Optional, TextIO, Tuple

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from torch import Tensor

from pckd_mm.engine.console import console_handlers, filters_of
from pckd_mm.engine.loops import counts_epochs
from pckd_mm.registry import HOOKS

_BAR = 20  # columns


class _AboveTheLine:
    """Where the log is written while the line is shown: above it.

    Args:
        progress (Progress): The line.
        stream (TextIO): The terminal.
    """

    def __init__(self, progress: Progress, stream: TextIO) -> None:
        self.progress = progress
        self.stream = stream

    def write(self, text: str) -> None:
        """Take the line away, write, and draw it again."""
        self.progress.stop()
        self.stream.write(text)
        self.stream.flush()
        self.progress.start()

    def flush(self) -> None:
        """Nothing is held back."""


@HOOKS.register_module()
class LiveLineHook(Hook):
    """Rewrite one line of the terminal: epoch, step, loss, learning rate, time left.

    Only where stdout is a terminal that can move its cursor; elsewhere it does nothing.
    While it is shown the console leaves out the log's lines of single steps, and all
    others stand above it. It is drawn by the clock, not in every step, from what is
    known to the host: no step waits for the device. On a GPU the loss is therefore the
    last one that was logged.

    Args:
        seconds (float): Least time between two drawings. Defaults to 0.5.
    """

    # Behind RunSummaryHook, and in front of WholeCheckpointHook, which may validate.
    priority = 94

    def __init__(self, seconds: float = 0.5) -> None:
        self.seconds = seconds
        self._progress: Optional[Progress] = None
        self._moved: List[Tuple[Any, TextIO]] = []
        self._drawn = 0.0
        self._loss: Optional[float] = None

    def before_train(self, runner: Runner) -> None:
        """Show the line, where there is a terminal."""
        stream = sys.stdout
        if not is_main_process() or not stream.isatty():
            return
        console = Console(file=stream)
        if console.is_dumb_terminal or not console.is_terminal:
            return
        # Drawn from here alone: a thread of its own would hold its lock while workers
        # of data loaders are forked off.
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=_BAR),
            TextColumn("{task.fields[facts]}"),
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stderr=sys.stderr.isatty(),
        )
        progress.add_task("starting", total=None, facts="")
        self._progress = progress
        for handler in console_handlers(runner.logger):
            if handler.stream is stream:
                handler.setStream(_AboveTheLine(progress, stream))
                self._moved.append((handler, stream))
        self._show_steps(runner, False)
        progress.start()

    def close(self, runner: Runner) -> None:
        """Take the line away for good; it may be gone already.

        Args:
            runner (Runner): The run.
        """
        if self._progress is None:
            return
        self._progress.stop()
        self._progress = None
        while self._moved:
            handler, stream = self._moved.pop()
            handler.setStream(stream)
        self._show_steps(runner, True)

    def after_train(self, runner: Runner) -> None:
        """Take the line away."""
        self.close(runner)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Draw the line, if it is time to.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Index of the batch in the loop.
            data_batch (Any): Not used.
            outputs (dict, optional): What ``train_step`` returned.
        """
        if not self._is_due():
            return
        self._loss = self._total_loss(runner, outputs or {})
        if counts_epochs(runner):
            epoch = f"epoch {runner.epoch + 1}/{runner.max_epochs}"
            steps = len(runner.train_dataloader)
            self._draw(epoch, batch_idx + 1, steps, self._facts(runner))
        else:
            self._draw("step", runner.iter + 1, runner.max_iters, self._facts(runner))

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Draw the line, if it is time to.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Index of the batch in the loop.
            data_batch (Any): Not used.
            outputs (Any): Not used.
        """
        if self._is_due():
            left = _time_left(runner)
            self._draw("validation", batch_idx + 1, len(runner.val_dataloader), left)

    def before_val_epoch(self, runner: Runner) -> None:
        """Say what is done now, however long the first batch takes."""
        self._draw("validation", 0, len(runner.val_dataloader), [])

    def _is_due(self) -> bool:
        if self._progress is None:
            return False
        return time.monotonic() - self._drawn >= self.seconds

    def _draw(self, what: str, done: int, total: int, facts: List[str]) -> None:
        progress = self._progress
        if progress is None:
            return
        (task,) = progress.task_ids
        shown = "  ".join([f"{done}/{total}", *facts])
        progress.update(
            task, description=what, completed=done, total=total, facts=shown
        )
        progress.refresh()
        self._drawn = time.monotonic()

    @staticmethod
    def _total_loss(runner: Runner, outputs: Dict[str, Any]) -> Optional[float]:
        """The loss of this step where it is on the host, else the last of the log."""
        loss = outputs.get("loss")
        if isinstance(loss, Tensor) and loss.device.type == "cpu" and loss.numel() == 1:
            return loss.item()
        return _latest(runner, "train/loss")

    def _facts(self, runner: Runner) -> List[str]:
        rate = _latest(runner, "train/lr")
        facts = [] if self._loss is None else [f"loss {self._loss:.4g}"]
        facts += [] if rate is None else [f"lr {rate:.3g}"]
        facts += _time_left(runner)
        if torch.cuda.is_available():  # counted by the host
            facts.append(f"{torch.cuda.max_memory_allocated() / 1e9:.1f} GB")
        return facts

    @staticmethod
    def _show_steps(runner: Runner, shows_steps: bool) -> None:
        for each in filters_of(runner.logger):
            each.shows_steps = shows_steps


def _latest(runner: Runner, name: str) -> Optional[float]:
    """The last value of a scalar in the message hub; None where there is none yet."""
    history = runner.message_hub.log_scalars.get(name)
    return None if history is None else float(history.current())


def _time_left(runner: Runner) -> List[str]:
    """What MMEngine's IterTimerHook has reckoned."""
    seconds = runner.message_hub.runtime_info.get("eta")
    if seconds is None:
        return []
    return [f"{datetime.timedelta(seconds=int(seconds))} left"]
