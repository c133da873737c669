"""Hints, against a plain loop."""

import pytest
import torch

from pckd_mm.models.losses import HintLoss
from pckd_mm.registry import MODELS
from tests.reference import assert_near, assert_same, mean, value_and_gradients


def plain_hint(s_feature, t_feature):
    s, t = s_feature.double().flatten(), t_feature.double().detach().flatten()
    return mean([(a - b) ** 2 for a, b in zip(s, t, strict=True)])


def make_inputs(dtype=torch.float64):
    torch.manual_seed(0)
    return [torch.randn(2, 3, 4, 2).to(dtype) for _ in range(2)]


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)]
)
def test_value_and_gradients(dtype, tolerance):
    assert_same(HintLoss(), plain_hint, make_inputs(dtype), tolerance)


def test_autocast_computes_in_full_precision():
    inputs = make_inputs(torch.bfloat16)
    loss = torch.autocast("cpu", torch.bfloat16)(HintLoss())
    assert loss(*inputs).dtype == torch.float32
    assert_same(loss, plain_hint, inputs, 1e-5, 2e-2)


def test_only_the_student_gets_gradient():
    _, (student, teacher) = value_and_gradients(HintLoss(), *make_inputs())
    assert student.any() and teacher is None


def test_loss_weight():
    inputs = make_inputs()
    assert_near(HintLoss(loss_weight=100.0)(*inputs), 100 * HintLoss()(*inputs), 1e-12)


def test_unequal_shapes_are_an_error():
    with pytest.raises(ValueError, match=r"\(1, 2, 4, 4\).*\(1, 2, 2, 2\)"):
        HintLoss()(torch.ones(1, 2, 4, 4), torch.ones(1, 2, 2, 2))


def test_built_from_registry():
    loss = MODELS.build(dict(type="pckd_mm.HintLoss", loss_weight=100.0))
    assert isinstance(loss, HintLoss) and loss.loss_weight == 100.0
