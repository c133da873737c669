"""Labels of the training set reach the losses that need them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import (
    BaseDataset,
    ClassBalancedDataset,
    ConcatDataset,
    RepeatDataset,
)
from mmengine.hooks import EMAHook
from mmengine.runner import BaseLoop, get_priority
from torch import nn

from pckd_mm.engine.hooks import SampleLabelsHook
from pckd_mm.models.losses import ContrastiveRepresentationLoss
from pckd_mm.registry import HOOKS


class Loop(BaseLoop):
    """A loop that trains."""

    def __init__(self):
        pass

    def run(self):
        raise NotImplementedError


def runner(model, dataset, loop=None):
    loader = SimpleNamespace(dataset=dataset)
    return SimpleNamespace(
        model=model, train_dataloader=loader, _train_loop=loop or Loop()
    )


def test_labels_are_handed_over():
    labels = np.array([2, 0, 1, 1, 2])
    model = nn.ModuleDict(dict(loss=ContrastiveRepresentationLoss(5, 2, 3)))
    hook = HOOKS.build(dict(type="pckd_mm.SampleLabelsHook"))
    dataset = SimpleNamespace(get_gt_labels=lambda: labels)
    hook.before_run(runner(model, dataset))
    assert model["loss"].labels.tolist() == labels.tolist()
    feature = nn.functional.normalize(torch.randn(2, 3))
    assert model["loss"](feature, feature, torch.tensor([0, 1])).isfinite()


def test_data_set_that_cannot_list_its_labels():
    model = nn.ModuleDict(dict(loss=ContrastiveRepresentationLoss(5, 2, 3)))
    with pytest.raises(TypeError, match="SimpleNamespace, which has no get_gt_labels"):
        SampleLabelsHook().before_run(runner(model, SimpleNamespace()))


class Labelled(BaseDataset):
    """Images with labels; of MMPretrain's ``sample_idx`` each."""

    def __init__(self, labels):
        self.labels = labels
        super().__init__(pipeline=[])

    def load_data_list(self):
        return [dict(gt_label=label) for label in self.labels]

    def get_gt_labels(self):
        return np.array(self.labels)

    def get_cat_ids(self, index):
        return [self.labels[index]]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda data: RepeatDataset(data, times=3),
        lambda data: ClassBalancedDataset(data, oversample_thr=0.5),
        lambda data: ConcatDataset([data]),
    ],
)
def test_labels_go_by_the_place_in_the_data_set_inside(wrap):
    """As sample_idx does, whatever draws images from it, and how often."""
    dataset = wrap(Labelled([2, 0, 1, 1, 2]))
    model = nn.ModuleDict(dict(loss=ContrastiveRepresentationLoss(5, 2, 3)))
    SampleLabelsHook().before_run(runner(model, dataset))
    for item in (dataset[index] for index in range(len(dataset))):
        assert model["loss"].labels[item["sample_idx"]] == item["gt_label"]


def test_several_data_sets_have_no_places_of_their_own():
    dataset = ConcatDataset([Labelled([2, 0, 1]), Labelled([1, 2])])
    model = nn.ModuleDict(dict(loss=ContrastiveRepresentationLoss(5, 2, 3)))
    with pytest.raises(ValueError, match="2 data sets to train on.* expected one"):
        SampleLabelsHook().before_run(runner(model, dataset))


def test_models_without_such_a_loss_need_no_labels():
    SampleLabelsHook().before_run(runner(nn.Linear(1, 1), SimpleNamespace()))


def test_a_test_reads_no_training_set():
    model = nn.ModuleDict(dict(loss=ContrastiveRepresentationLoss(5, 2, 3)))
    SampleLabelsHook().before_run(runner(model, SimpleNamespace(), loop={"type": ""}))


def test_memories_are_as_long_as_the_training_set():
    """There when a checkpoint is loaded, and when EMAHook copies the model."""
    loss = ContrastiveRepresentationLoss(None, 16384, 3)
    model = nn.ModuleDict(dict(loss=loss))
    hook = SampleLabelsHook()
    assert get_priority(hook.priority) < get_priority(EMAHook.priority)
    hook.before_run(runner(model, Labelled([2, 0, 1, 1, 2])))
    assert len(loss.s_memory) == len(loss.t_memory) == 5 and loss.neg_num == 3


def test_a_checkpoint_does_not_say_the_labels():
    """Which may have been mended since, or be of other images."""
    loss = ContrastiveRepresentationLoss(None, 2, 3)
    of_run = runner(nn.ModuleDict(dict(loss=loss)), Labelled([2, 0, 1, 1, 2]))
    other = ContrastiveRepresentationLoss(5, 2, 3)
    other.set_labels([0, 1, 2, 0, 1])
    hook = SampleLabelsHook()
    hook.before_run(of_run)
    loss.load_state_dict(other.state_dict())  # as MMEngine does between the two
    hook.before_train(of_run)
    assert loss.labels.tolist() == [2, 0, 1, 1, 2]
    assert torch.equal(loss.s_memory, other.s_memory)
