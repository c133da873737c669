"""What a run is about to do, before its first step."""

from typing import Sequence

from mmengine.hooks import Hook
from mmengine.runner import Runner

from pckd_mm.engine.console import SUMMARY, end_of_start
from pckd_mm.engine.run_summary import summarize
from pckd_mm.registry import HOOKS


@HOOKS.register_module()
class RunSummaryHook(Hook):
    """Say in the log what a run is about to do, on one screen.

    Behind it the console of ``pckd train`` shows the log as it comes; what came before
    is in the log's file.

    Args:
        looks (Sequence[str]): Commands that show what trackers write. Defaults to none.
    """

    # Behind SpeedUpHook, which changes the networks, and in front of
    # WholeCheckpointHook, which may validate.
    priority = 94

    def __init__(self, looks: Sequence[str] = ()) -> None:
        self.looks = tuple(looks)

    def before_train(self, runner: Runner) -> None:
        """Log it."""
        text = summarize(runner, self.looks)
        runner.logger.info(f"About to train:\n{text}", extra={SUMMARY: True})
        end_of_start(runner.logger)
