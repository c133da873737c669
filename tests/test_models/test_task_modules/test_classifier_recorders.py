"""The category centers of a network, wherever they are."""

import pytest
import torch
from mmpretrain.registry import MODELS

from pckd_mm.models.task_modules.classifier_recorders import category_centers
from pckd_mm.models.task_modules.find_classifier import find_classifier
from tests.builders import classifier


@pytest.mark.parametrize("head", ["LinearClsHead", "ArcFaceClsHead"])
def test_category_centers(head):
    torch.manual_seed(0)
    settings = dict(type=f"mmpretrain.{head}")
    if head == "ArcFaceClsHead":
        settings["scale"] = 30.0
    network = MODELS.build(classifier(8, 5, **settings))
    found = category_centers(network, find_classifier(network, "student", (3, 8, 8)))
    assert found.shape == (5, 16) and not found.requires_grad
    if head == "LinearClsHead":
        assert torch.equal(found, network.head.fc.weight)
    else:  # compares directions, and multiplies by s
        assert found.norm(dim=1).tolist() == pytest.approx([30.0] * 5)
