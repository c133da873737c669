"""The run of a process that has the teacher for others."""

from typing import Any, Sequence

from mmengine.model import BaseModel
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from pckd_mm.engine.hooks.num_views_hook import crops_of
from pckd_mm.engine.shared_teacher import VIEWS, Student, TeacherPass
from pckd_mm.models import MultiViewDistill
from pckd_mm.registry import LOOPS, MODELS
from pckd_mm.utils.config import load_config, model_of
from pckd_mm.utils.handout import Handout, connections_from_parent
from pckd_mm.utils.randomness import reseed

__all__ = ["TeacherLoop"]


@LOOPS.register_module()
class TeacherLoop(EpochBasedTrainLoop):
    """Hand batches, their views and the teacher's records to students; train nothing.

    What is drawn for a batch depends on the seed, the epoch and the iteration alone, so
    that a student that goes on after an interruption gets what it would have got. The
    data loader, the preprocessor and the teacher are those of the run's config, with
    its precision and speed options.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader | dict): Training images.
        students (Sequence[str]): Configs of the students, in the order of the
            connections that the process was started with.
        **kwargs: Further arguments of :class:`mmengine.runner.EpochBasedTrainLoop`.
    """

    # What :class:`pckd_mm.engine.run_networks.RunNetworks` calls it.
    idle_networks = ("the student",)

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader,
        students: Sequence[str],
        **kwargs: Any,
    ) -> None:
        super().__init__(runner, dataloader, **kwargs)
        # Hooks of recorders must be there before the teacher is made faster.
        takers = [Student.of(build_algorithm(path), runner.model) for path in students]
        self._pass = TeacherPass(runner.model, takers)
        self._handout = Handout(connections_from_parent())

    def run(self) -> BaseModel:
        """Serve the students until all of them are gone.

        Returns:
            BaseModel: The model, as it was.
        """
        self.runner.call_hook("before_train")
        for crops in crops_of(self.dataloader.dataset):
            crops.num_views = VIEWS
        first = self._handout.begin()
        self._epoch = first[0] if first is not None else 0
        while self._handout.takers and self._epoch < self.max_epochs:
            self.run_epoch()
        self._handout.finish()
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_epoch(self) -> None:
        """Hand out one epoch."""
        self._iter = self._epoch * len(self.dataloader)
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        for index, batch in enumerate(self.dataloader):
            wanting = self._handout.wanting((self._epoch, index))
            if not self._handout.takers:
                break
            if wanting:
                self._hand_out(index, batch, wanting)
            self._iter += 1
        self._epoch += 1

    def _hand_out(self, index: int, batch: dict, wanting: Sequence[int]) -> None:
        self.runner.call_hook("before_train_iter", batch_idx=index, data_batch=batch)
        reseed(self.runner.seed, self._epoch, index)
        with self.runner.optim_wrapper.optim_context(self.runner.model):
            batches = self._pass.run(batch, wanting)
        self._handout.give((self._epoch, index), batches)


def build_algorithm(path: str) -> MultiViewDistill:
    """The algorithm of a config, as a runner builds it.

    Args:
        path (str): The config.

    Returns:
        MultiViewDistill: The algorithm, without the teacher's weights.
    """
    return MODELS.build(model_of(load_config(path)))
