"""How far a training is: by epochs, or by iterations and passes."""

from types import SimpleNamespace

import pytest
from mmengine.dataset import InfiniteSampler
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch.utils.data import DataLoader

from pckd_mm.engine import loops


def at(kind, **place):
    loader = DataLoader(range(10), batch_size=3)
    return SimpleNamespace(
        train_loop=kind.__new__(kind), train_dataloader=loader, **place
    )


@pytest.mark.parametrize(
    "kind, place, ended",
    [
        # Resumed in the middle of an epoch, which was begun again: more iterations
        # than there are, and an epoch left.
        (EpochBasedTrainLoop, dict(epoch=1, iter=9, max_epochs=2, max_iters=8), False),
        # An epoch without a step is left, of which the iterations know nothing.
        (EpochBasedTrainLoop, dict(epoch=0, iter=0, max_epochs=1, max_iters=0), False),
        (EpochBasedTrainLoop, dict(epoch=2, iter=8, max_epochs=2, max_iters=8), True),
        (IterBasedTrainLoop, dict(epoch=0, iter=7, max_epochs=1, max_iters=8), False),
        (IterBasedTrainLoop, dict(epoch=0, iter=8, max_epochs=1, max_iters=8), True),
    ],
)
def test_what_is_left_to_train(kind, place, ended):
    assert loops.has_ended(at(kind, **place)) is ended


def test_passes_over_the_data():
    assert loops.place_in_pass(at(EpochBasedTrainLoop, epoch=5, iter=99), 2) == (5, 2)
    runner = at(IterBasedTrainLoop, iter=9)
    assert loops.steps_of_pass(runner) == 4
    assert loops.place_in_pass(runner, 9) == (2, 1)


def test_an_endless_sampler_is_one_of_all_processes(monkeypatch):
    sampler = InfiniteSampler(range(10), shuffle=False)
    loader = DataLoader(range(10), batch_size=2, sampler=sampler)
    runner = SimpleNamespace(train_dataloader=loader)
    assert loops.steps_of_pass(runner) == 5
    monkeypatch.setattr(loops, "get_world_size", lambda: 2)
    assert loops.steps_of_pass(runner) == 3
