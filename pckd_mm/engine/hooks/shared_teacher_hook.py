"""A student whose teacher runs in another process."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from pckd_mm.engine.loops import has_ended
from pckd_mm.engine.shared_teacher import SharedLoader
from pckd_mm.registry import HOOKS
from pckd_mm.utils.handout import Taker, connections_from_parent
from pckd_mm.utils.wrappers import unwrap


@HOOKS.register_module()
class SharedTeacherHook(Hook):
    """Take batches, their views and the teacher's records from another process.

    That one has a :class:`pckd_mm.engine.TeacherLoop` and serves several students at a
    time; ``tools/compare.py --share-teacher`` starts them. All else of the run is as
    ever. The run's own teacher gives its parameters, such as category centers.
    """

    # Behind SpeedUpHook, which runs the teacher on the run's own images.
    priority = 93
    # What :class:`pckd_mm.engine.run_networks.RunNetworks` calls it.
    idle_networks = ("the teacher",)

    def before_train(self, runner: Runner) -> None:
        """Connect.

        Raises:
            RuntimeError: Where the run was started without the other process.
        """
        if has_ended(runner):
            return  # a finished run was resumed
        connections = connections_from_parent()
        if len(connections) != 1:
            raise RuntimeError(
                "The config has a SharedTeacherHook, and no other process gives this "
                "run batches; expected to be started by tools/compare.py "
                "--share-teacher: leave the hook out to train it alone."
            )
        loop = runner.train_loop
        taker = Taker(connections[0])
        loop.dataloader = SharedLoader(loop.dataloader, taker, lambda: loop.epoch)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Hand the teacher's records to the model."""
        unwrap(runner.model).given_records = data_batch.records
