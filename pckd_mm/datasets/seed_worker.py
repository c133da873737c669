"""Random numbers of a data loader's workers."""

import torch

from pckd_mm.registry import FUNCTIONS
from pckd_mm.utils.randomness import reseed


@FUNCTIONS.register_module()
def seed_worker(worker_id: int) -> None:
    """Seed a worker from what torch drew for it when the epoch began.

    MMEngine's own function gives a worker the same seed whenever it starts: without
    persistent workers, in every epoch. Torch's draw comes from the generator that
    :class:`pckd_mm.engine.ReseedHook` seeds, so that epochs and ranks differ and a
    resumed run repeats the unbroken one. Named as ``worker_init_fn`` of a data loader
    with ``persistent_workers=False``.

    Args:
        worker_id (int): Number of the worker; torch's seed depends on it already.
    """
    reseed(torch.initial_seed())
