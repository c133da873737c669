"""Random numbers of a resumed run equal to those of an uninterrupted one."""

from functools import partial
from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from pckd_mm.engine.endless_batches import EndlessBatches
from pckd_mm.engine.loops import counts_epochs
from pckd_mm.registry import HOOKS
from pckd_mm.utils.randomness import reseed


@HOOKS.register_module()
class ReseedHook(Hook):
    """Reseed every generator from (seed, place in the run, rank).

    MMEngine's checkpoints hold no state of the random generators, so a resumed run
    would draw other crops and flips than the run that was cut off. Seeding anew at the
    start of each epoch (each iteration in iteration-based loops) makes them the same.
    Worker processes of a data loader that persist draw from their own streams; turn
    ``persistent_workers`` off where the pipeline itself is random.
    """

    priority = "VERY_HIGH"

    def before_train(self, runner: Runner) -> None:
        """Give what draws batches the run's seed, which resuming may have changed."""
        self.by_epoch = counts_epochs(runner)
        self.seed = runner.seed
        if runner._randomness_cfg.get("diff_rank_seed"):
            self.seed -= get_rank()  # MMEngine has added it
        loader = runner.train_dataloader
        if hasattr(loader.sampler, "seed"):
            loader.sampler.seed = self.seed
        if "seed" in getattr(loader.worker_init_fn, "keywords", ()):  # MMEngine's own
            loader.worker_init_fn = partial(loader.worker_init_fn, seed=self.seed)
        if not self.by_epoch and hasattr(runner.train_loop, "dataloader_iterator"):
            runner.train_loop.dataloader_iterator = EndlessBatches(loader, self.seed)

    def before_train_epoch(self, runner: Runner) -> None:
        if self.by_epoch:
            reseed(self.seed, runner.epoch, get_rank())

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        if not self.by_epoch:
            reseed(self.seed, runner.iter, get_rank())
