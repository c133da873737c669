"""Batches of a loop of iterations, which a resumed run gets as the unbroken one did."""

from typing import Any, Iterator, Optional

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_rank
from torch.utils.data import DataLoader

from pckd_mm.utils.randomness import isolated_randomness, reseed

__all__ = ["EndlessBatches"]


class EndlessBatches:
    """Go through a data loader over and over.

    MMEngine's own iterator starts the workers of the loader as the loop is built: with
    the data set as it is then, and with the seed of a run that is not resumed. This one
    starts them for the first batch. What is drawn for a batch depends on the seed and
    the place of the batch alone.

    Args:
        loader (DataLoader): The data loader.
        seed (int): Seed of the run.
    """

    def __init__(self, loader: DataLoader, seed: int) -> None:
        self._loader = loader
        self._seed = seed
        self._pass = self._given = 0
        self._batches: Optional[Iterator] = None

    def __iter__(self) -> "EndlessBatches":
        return self

    def __next__(self) -> Any:
        if self._batches is None:
            self._forget_earlier_batches()
            self._batches = self._begin()
        try:
            batch = self._next(self._batches)
        except StopIteration:
            self._pass += 1
            self._batches = self._begin()
            batch = self._next(self._batches)
        self._given += 1
        return batch

    def _forget_earlier_batches(self) -> None:
        """Let go of workers that were started before, and of what they have taken."""
        self._loader._iterator = None  # else those that persist go on
        sampler = self._loader.sampler
        if isinstance(sampler, InfiniteSampler):
            sampler.indices = sampler._indices_of_rank()

    def _begin(self) -> Iterator:
        """Begin a pass."""
        of_batches = getattr(self._loader.batch_sampler, "sampler", None)
        for sampler in (self._loader.sampler, of_batches):
            set_epoch: Any = getattr(sampler, "set_epoch", None)
            if set_epoch is not None:
                set_epoch(self._pass)
        with isolated_randomness():
            reseed(self._seed, self._pass, get_rank())
            return iter(self._loader)

    def _next(self, batches: Iterator) -> Any:
        if self._loader.num_workers:  # which have seeds of their own
            return next(batches)
        with isolated_randomness():
            reseed(self._seed, self._given, get_rank())
            return next(batches)
