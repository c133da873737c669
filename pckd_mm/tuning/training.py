"""A trial as Ray Tune trains it: a step is an epoch."""

import os
import time
from typing import Any, Dict, Optional

from ray import tune

from pckd_mm.experiments import ExperimentError
from pckd_mm.experiments.executor import PAUSE
from pckd_mm.experiments.job import process_of

from .trials import MakeJob

__all__ = ["EPOCH", "FAILED_BY", "VALUE", "TrialTraining"]

# What Tune is told after each epoch.
VALUE, EPOCH, FAILED_BY = "value", "epoch", "failed_by"


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
        if not self.job.is_finished:
            for checkpoint in self.job.folder.glob("*.pth"):
                checkpoint.unlink()
        self._start(new_config)
        return True

    def _start(self, config: Dict[str, Any]) -> None:
        self.job = self.make_job(config["number"], config["values"])
        self.told = 0
        if not self.job.is_finished:
            self.job.prepare()
            self.job.start(self.threads)

    def step(self) -> Dict[str, Any]:
        """Wait for the next epoch.

        Returns:
            dict: ``value``, the metric in percent, and ``epoch``. A training that fails
            is worth 0, and ``failed_by`` says why.
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
                    return self._result(0.0, str(error))
            else:
                time.sleep(PAUSE)

    def _result(self, value: float, failed_by: Optional[str] = None) -> Dict[str, Any]:
        done = failed_by is not None or self.told >= self.job.epochs
        result = {VALUE: value, EPOCH: self.told, "done": done}
        return result if failed_by is None else {**result, FAILED_BY: failed_by}

    def cleanup(self) -> None:
        """End the process of a trial that is stopped."""
        self.job.stop()
