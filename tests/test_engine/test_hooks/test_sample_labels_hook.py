"""Labels of the training set reach the losses that need them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from pckd_mm.engine.hooks import SampleLabelsHook
from pckd_mm.models.losses import ContrastiveRepresentationLoss
from pckd_mm.registry import HOOKS


def runner(model, dataset):
    return SimpleNamespace(
        model=model, train_dataloader=SimpleNamespace(dataset=dataset)
    )


def test_labels_are_handed_over():
    labels = np.array([2, 0, 1, 1, 2])
    model = nn.ModuleDict(dict(loss=ContrastiveRepresentationLoss(5, 2, 3)))
    hook = HOOKS.build(dict(type="pckd_mm.SampleLabelsHook"))
    dataset = SimpleNamespace(get_gt_labels=lambda: labels)
    hook.before_train(runner(model, dataset))
    assert model["loss"].labels.tolist() == labels.tolist()
    feature = nn.functional.normalize(torch.randn(2, 3))
    assert model["loss"](feature, feature, torch.tensor([0, 1])).isfinite()


def test_data_set_that_cannot_list_its_labels():
    model = nn.ModuleDict(dict(loss=ContrastiveRepresentationLoss(5, 2, 3)))
    with pytest.raises(TypeError, match="SimpleNamespace, which has no get_gt_labels"):
        SampleLabelsHook().before_train(runner(model, SimpleNamespace()))


def test_models_without_such_a_loss_need_no_labels():
    SampleLabelsHook().before_train(runner(nn.Linear(1, 1), SimpleNamespace()))
