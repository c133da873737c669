"""Random numbers that depend on the place in the run, not on its history."""

import contextlib
import random
from typing import Iterator

import numpy as np
import torch

__all__ = ["reseed", "isolated_randomness"]


def reseed(*entropy: int) -> None:
    """Seed python, numpy and torch (every device) from some whole numbers.

    Args:
        *entropy (int): Non-negative numbers that name the place, such as the run's
            seed, the epoch and the rank.
    """
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextlib.contextmanager
def isolated_randomness() -> Iterator[None]:
    """What is drawn within leaves the generators outside as they were."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
