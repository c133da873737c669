"""ReseedHook: random numbers depend on the place in the run only."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import worker_init_fn
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from pckd_mm.engine.endless_batches import EndlessBatches
from pckd_mm.engine.hooks import ReseedHook


def runner_at(loop_class, epoch=0, iteration=0, seed=5, diff_rank_seed=False):
    loop = loop_class.__new__(loop_class)
    loader = SimpleNamespace(
        sampler=SimpleNamespace(seed=1),
        worker_init_fn=partial(worker_init_fn, num_workers=2, rank=0, seed=1),
    )
    return SimpleNamespace(
        train_loop=loop,
        train_dataloader=loader,
        seed=seed,
        _randomness_cfg=dict(diff_rank_seed=diff_rank_seed),
        epoch=epoch,
        iter=iteration,
    )


def draw(runner, event="before_train_epoch"):
    torch.manual_seed(torch.seed())  # whatever was drawn before
    hook = ReseedHook()
    hook.before_train(runner)
    args = (0, None) if event == "before_train_iter" else ()
    getattr(hook, event)(runner, *args)
    return torch.rand(3).tolist()


def test_an_epoch_draws_the_same_whatever_came_before():
    first = draw(runner_at(EpochBasedTrainLoop, epoch=4))
    assert draw(runner_at(EpochBasedTrainLoop, epoch=4)) == first


@pytest.mark.parametrize("change", [dict(epoch=5), dict(epoch=4, seed=6)])
def test_other_epochs_and_seeds_draw_others(change):
    first = draw(runner_at(EpochBasedTrainLoop, epoch=4))
    assert draw(runner_at(EpochBasedTrainLoop, **change)) != first


@pytest.mark.parametrize(
    "loop, event",
    [
        (EpochBasedTrainLoop, "before_train_epoch"),
        (IterBasedTrainLoop, "before_train_iter"),
    ],
)
def test_ranks_draw_differently(loop, event, monkeypatch):
    first = draw(runner_at(loop), event)
    monkeypatch.setattr("pckd_mm.engine.hooks.reseed_hook.get_rank", lambda: 1)
    assert draw(runner_at(loop), event) != first


def test_iteration_based_loops_reseed_every_iteration():
    event = "before_train_iter"
    first = draw(runner_at(IterBasedTrainLoop, iteration=7), event)
    assert draw(runner_at(IterBasedTrainLoop, iteration=7), event) == first
    assert draw(runner_at(IterBasedTrainLoop, iteration=8), event) != first


def test_sampler_gets_the_seed_of_the_resumed_run():
    runner = runner_at(EpochBasedTrainLoop, seed=9)
    ReseedHook().before_train(runner)
    assert runner.train_dataloader.sampler.seed == 9
    assert runner.train_dataloader.worker_init_fn.keywords["seed"] == 9


def test_a_loop_of_iterations_gets_batches_that_can_be_drawn_again():
    runner = runner_at(IterBasedTrainLoop, seed=9)
    runner.train_loop.dataloader_iterator = iter([])
    ReseedHook().before_train(runner)
    assert isinstance(runner.train_loop.dataloader_iterator, EndlessBatches)


def test_samplers_agree_where_each_rank_has_a_seed_of_its_own(monkeypatch):
    # MMEngine adds the rank to the seed; all ranks must shuffle alike all the same.
    monkeypatch.setattr("pckd_mm.engine.hooks.reseed_hook.get_rank", lambda: 2)
    runner = runner_at(EpochBasedTrainLoop, seed=9, diff_rank_seed=True)
    ReseedHook().before_train(runner)
    assert runner.train_dataloader.sampler.seed == 7
