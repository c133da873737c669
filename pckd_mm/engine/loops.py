"""How far a training is, in what its loop counts."""

import math
from typing import Tuple

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop, Runner

__all__ = [
    "counts_epochs",
    "done_and_all",
    "has_ended",
    "place_in_pass",
    "saves_now",
    "steps_of_pass",
]


def counts_epochs(runner: Runner) -> bool:
    """Whether a runner trains for epochs, and not for iterations."""
    return isinstance(runner.train_loop, EpochBasedTrainLoop)


def done_and_all(runner: Runner) -> Tuple[int, int]:
    """How far a training is and goes, in epochs or else in iterations.

    Iterations say nothing of the end of a training for epochs: one that goes on in the
    middle of an epoch begins this epoch again.

    Args:
        runner (Runner): A runner that trains.

    Returns:
        tuple[int, int]: Epochs, or iterations, that are done, and all of them.
    """
    if counts_epochs(runner):
        return runner.epoch, runner.max_epochs
    return runner.iter, runner.max_iters


def has_ended(runner: Runner) -> bool:
    """Whether nothing is left to train, as where a finished run is resumed."""
    done, end = done_and_all(runner)
    return done >= end


def steps_of_pass(runner: Runner) -> int:
    """Steps in which all processes together go through the training set once."""
    loader = runner.train_dataloader
    steps = len(loader)
    if isinstance(getattr(loader, "sampler", None), InfiniteSampler):
        # Whose length is that of the whole set, in each process.
        steps = math.ceil(steps / get_world_size())
    return steps


def saves_now(runner: Runner) -> bool:
    """Whether a checkpoint that iterations decide on is due after this very step."""
    return runner.iter + 1 == runner.max_iters or any(
        hook.every_n_train_iters(runner, hook.interval, hook.save_begin)
        for hook in runner.hooks
        if isinstance(hook, CheckpointHook) and not hook.by_epoch
    )


def place_in_pass(runner: Runner, batch_idx: int) -> Tuple[int, int]:
    """Where in which pass over the training set a step is.

    Args:
        runner (Runner): A runner that trains.
        batch_idx (int): What its loop calls the step, in the epoch or in all.

    Returns:
        tuple[int, int]: Pass and step in it, both from 0.
    """
    if counts_epochs(runner):
        return runner.epoch, batch_idx
    return divmod(runner.iter, steps_of_pass(runner))
