"""Batches of a loop of iterations do not depend on what was before them."""

import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import DataLoader, Dataset

from pckd_mm.datasets import seed_worker
from pckd_mm.engine.endless_batches import EndlessBatches

SAMPLERS = (DefaultSampler, InfiniteSampler)


class Drawn(Dataset):
    """Images by number, with a random number, and something that hooks may set."""

    def __init__(self):
        self.views = 1

    def __len__(self):
        return 7

    def __getitem__(self, index):
        return index, torch.rand(()), self.views


def loader(sampler, workers=0, seed=1):
    data = Drawn()
    return DataLoader(
        data,
        batch_size=2,
        sampler=sampler(data, shuffle=True, seed=seed),
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=seed_worker,
    )


def taken(batches, number, step=lambda: None):
    found = []
    for _ in range(number):
        found.append([part.tolist() for part in next(batches)])
        step()
    return found


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_whoever_goes_on_gets_the_same(sampler, workers):
    whole = taken(
        EndlessBatches(loader(sampler, workers), seed=5), 6, lambda: torch.rand(3)
    )
    again = EndlessBatches(loader(sampler, workers), seed=5)
    assert taken(again, 4) + taken(again, 2, lambda: torch.rand(1)) == whole
    numbers = [value for batch in whole for value in batch[1]]
    assert len(set(numbers)) == len(numbers)
    assert taken(EndlessBatches(loader(sampler, workers), seed=6), 6) != whole


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_ranks_draw_differently_and_shuffle_alike(sampler, workers, monkeypatch):
    def order_and_numbers():
        found = taken(EndlessBatches(loader(sampler, workers), seed=5), 6)
        return [batch[0] for batch in found], {n for batch in found for n in batch[1]}

    order, numbers = order_and_numbers()
    where = "pckd_mm.engine.endless_batches.get_rank"
    monkeypatch.setattr(where, lambda: 1)
    other_order, other_numbers = order_and_numbers()
    assert other_order == order
    assert not numbers & other_numbers


def test_each_pass_is_shuffled_anew():
    batches = EndlessBatches(loader(DefaultSampler), seed=5)
    first, second = (
        [index for batch in taken(batches, 4) for index in batch[0]] for _ in range(2)
    )
    assert sorted(first) == sorted(second) == list(range(7))
    assert first != second


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_nothing_begins_before_the_first_batch(sampler, workers):
    """What hooks set then counts: of the data set, and of the sampler."""
    expected = taken(EndlessBatches(loader(sampler, workers, seed=3), seed=5), 3)
    data = loader(sampler, workers, seed=1)
    earlier = iter(data)  # as MMEngine's loop has begun
    next(earlier)
    batches = EndlessBatches(data, seed=5)
    data.dataset.views = 4
    data.sampler.seed = 3
    found = taken(batches, 3)
    assert [batch[:2] for batch in found] == [batch[:2] for batch in expected]
    assert {views for batch in found for views in batch[2]} == {4}


def test_what_the_training_draws_is_left_alone():
    batches = EndlessBatches(loader(DefaultSampler), seed=5)
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    taken(batches, 5)
    assert torch.equal(torch.rand(2), expected)
