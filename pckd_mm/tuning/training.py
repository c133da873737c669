"""A trial as Ray Tune trains it: a step is an epoch."""

import errno
import os
import signal
import time
from typing import Any, Dict, Optional

from ray import tune

from pckd_mm.experiments import ExperimentError
from pckd_mm.experiments.executor import PAUSE
from pckd_mm.experiments.job import process_of

from .trials import MakeJob

__all__ = ["CUT_OFF", "EPOCH", "FAILED_BY", "VALUE", "TrialTraining", "was_cut_off"]

# What Tune is told after each epoch.
VALUE, EPOCH, FAILED_BY, CUT_OFF = "value", "epoch", "failed_by", "cut_off"
# Exit statuses of a training that a signal ended in order.
_ENDED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
# What the log of one ends with that may come to its end another time.
_FOR_NOW = (
    *(os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT)),
    "was not written: ",  # as files.WriteError says
    "A worker process of a data loader died",
    " received by PID ",  # as torchrun says of a signal
)


def was_cut_off(status: int, log: str) -> bool:
    """Whether a training was ended by its machine, and not by what it computes.

    Args:
        status (int): Exit status of its process, negative for a signal.
        log (str): The end of its log.

    Returns:
        bool: True where a signal ended it, as for lack of memory, and where its files
        could not be written.
    """
    return status < 0 or status in _ENDED or any(words in log for words in _FOR_NOW)


class TrialTraining(tune.Trainable):
    """Train a trial in a process, and tell each epoch that was validated.

    Of a trial that was begun before, the epochs that are done are told again, and it
    goes on behind them from its last checkpoint.
    """

    # Tune hands over what is bound to the class, by its own setup()'s keywords.
    def setup(  # type: ignore[override]
        self, config: Dict[str, Any], make_job: MakeJob, folder: str, threads: int
    ) -> None:
        """Start the process.

        Args:
            config (dict): ``number`` and ``values`` of the trial.
            make_job (callable): Gives the trial's training.
            folder (str): Working directory, which paths are relative to.
            threads (int): Threads of the process.
        """
        os.chdir(folder)
        self.make_job, self.threads = make_job, threads
        self._start(config)

    def reset_config(self, new_config: Dict[str, Any]) -> bool:
        """Start another trial in this place; a new process of Ray's takes longer.

        Of one that was stopped, nothing reads the checkpoints any more.
        """
        self.cleanup()
        if not (self.job.is_finished or self.cut_off):
            for checkpoint in self.job.folder.glob("*.pth"):
                checkpoint.unlink()
        self._start(new_config)
        return True

    def _start(self, config: Dict[str, Any]) -> None:
        self.job = self.make_job(config["number"], config["values"])
        self.told, self.cut_off = 0, False
        if not self.job.is_finished:
            self.job.prepare()
            self.job.start(self.threads)

    def step(self) -> Dict[str, Any]:
        """Wait for the next epoch.

        Returns:
            dict: ``value``, the metric in percent, and ``epoch``. A training that fails
            is worth 0, ``failed_by`` says why, and ``cut_off`` whether it may go on
            another time.
        """
        while True:
            ended = self.job.is_finished or process_of(self.job).poll() is not None
            curve = self.job.curve()
            new = [epoch for epoch in curve if epoch > self.told]
            # The last epoch is told when the process has done all that it has to.
            if new and (new[0] < self.job.epochs or self.job.is_finished):
                self.told = new[0]
                return self._result(curve[self.told])
            if ended:
                try:
                    self.job.finish()
                except ExperimentError as error:
                    status = process_of(self.job).returncode
                    self.cut_off = was_cut_off(status, str(error))
                    return self._result(0.0, str(error))
            else:
                time.sleep(PAUSE)

    def _result(self, value: float, failed_by: Optional[str] = None) -> Dict[str, Any]:
        done = failed_by is not None or self.told >= self.job.epochs
        result: Dict[str, Any] = {VALUE: value, EPOCH: self.told, "done": done}
        if failed_by is not None:
            result.update({FAILED_BY: failed_by, CUT_OFF: self.cut_off})
        return result

    def cleanup(self) -> None:
        """End the process of a trial that is stopped."""
        self.job.stop()
