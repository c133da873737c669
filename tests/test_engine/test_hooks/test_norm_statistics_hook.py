"""NormStatisticsHook: what is validated is what is saved, with several processes."""

import argparse

import torch
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.model import ExponentialMovingAverage
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import nn

from pckd_mm.engine import NormStatisticsHook
from tests.builders import in_processes


def network(rank):
    """Three layers with statistics of the rank, of which one is frozen; a counter."""
    model = nn.Sequential(
        nn.BatchNorm2d(2), nn.InstanceNorm2d(3), nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    )
    for layer in (model[0], model[2], model[3]):
        layer.running_mean.fill_(3.0 + rank)
        layer.running_var.fill_(1.0 + 2 * rank)
        layer.num_batches_tracked.fill_(5 + rank)
    model[3].eval()
    return model


def runner_of(model, loop, hooks=(), step=0, **settings):
    train_loop = loop.__new__(loop)
    train_loop.__dict__.update(val_interval=10, _max_iters=100, **settings)
    return argparse.Namespace(
        model=model, hooks=list(hooks), train_loop=train_loop, iter=step, max_iters=100
    )


def statistics(layer):
    mean, variance = layer.running_mean, layer.running_var
    return mean[0].item(), variance[0].item(), layer.num_batches_tracked.item()


def _epoch(rank):
    model = network(rank)
    ema = EMAHook()
    ema.ema_model = ExponentialMovingAverage(model)
    runner = runner_of(model, EpochBasedTrainLoop, [ema])
    hook = NormStatisticsHook()
    hook.after_train_iter(runner, 0)
    assert statistics(model[0]) == (3 + rank, 1 + 2 * rank, 5 + rank)
    hook.after_train_epoch(runner)
    for each in (model, ema.ema_model.module):
        assert statistics(each[0]) == (3.5, 2, 5 + rank)
        assert statistics(each[2]) == (3.5, 2, 5 + rank)
        assert statistics(each[3]) == (3 + rank, 1 + 2 * rank, 5 + rank)
        assert torch.equal(each[0].weight, torch.ones(2))


def _iterations(rank):
    saves = CheckpointHook(interval=4, by_epoch=False)
    late = CheckpointHook(interval=30, by_epoch=False, save_begin=13)
    by_epoch = CheckpointHook(interval=1)
    # The late one saves at 43, 73, ... and not at 30, 60, ..., as its interval alone.
    steps = {0: False, 3: True, 8: False, 9: True, 42: True, 44: False, 99: True}
    for step, counts in steps.items():
        model = network(rank)
        runner = runner_of(model, IterBasedTrainLoop, [saves, late, by_epoch], step)
        NormStatisticsHook().after_train_iter(runner, step)
        assert (statistics(model[0])[0] == 3.5) == counts, step


def test_statistics_are_the_mean_of_all_processes(tmp_path):
    in_processes(2, _epoch, tmp_path)


def test_iterations_that_are_validated_or_saved(tmp_path):
    in_processes(2, _iterations, tmp_path)


def test_one_process_keeps_its_own():
    model = network(1)
    NormStatisticsHook().after_train_epoch(runner_of(model, EpochBasedTrainLoop))
    assert statistics(model[0]) == (4, 3, 6)
