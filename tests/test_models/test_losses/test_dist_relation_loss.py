"""DIST, against plain loops."""

import math

import pytest
import torch

from pckd_mm.models.losses import DISTRelationLoss
from pckd_mm.registry import MODELS
from tests.reference import assert_same, mean, value_and_gradients


def pearson(a, b):
    a, b = ([x - mean(row) for x in row] for row in (a, b))
    product = sum(x * y for x, y in zip(a, b, strict=True))
    return product / (sum(x * x for x in a).sqrt() * sum(y * y for y in b).sqrt())


def plain_dist(s_logits, t_logits):
    """2 inter + 2 intra at T = 4."""

    def probabilities(logits):
        rows = [[math.e ** (z / 4) for z in row] for row in logits]
        return [[p / sum(row) for p in row] for row in rows]

    s, t = probabilities(s_logits.double()), probabilities(t_logits.double().detach())
    inter = mean([1 - pearson(a, b) for a, b in zip(s, t, strict=True)])
    columns = zip(zip(*s, strict=True), zip(*t, strict=True), strict=True)
    intra = mean([1 - pearson(a, b) for a, b in columns])
    return 16 * (2 * inter + 2 * intra)


def make_inputs(dtype=torch.float64):
    torch.manual_seed(0)
    return [(5 * torch.randn(5, 7)).to(dtype) for _ in range(2)]


LOSS = DISTRelationLoss()


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-5), (torch.float32, 1e-4)]
)
def test_value_and_gradients(dtype, tolerance):
    # It adds 1e-8 to the norms.
    assert_same(LOSS, plain_dist, make_inputs(dtype), tolerance)


def test_autocast_computes_in_full_precision():
    inputs = make_inputs(torch.bfloat16)
    loss = torch.autocast("cpu", torch.bfloat16)(LOSS)
    assert loss(*inputs).dtype == torch.float32
    assert_same(loss, plain_dist, inputs, 1e-4, 2e-2)


def test_only_the_student_gets_gradient():
    _, (student, teacher) = value_and_gradients(LOSS, *make_inputs())
    assert student.any() and teacher is None


def test_built_from_registry():
    cfg = dict(type="pckd_mm.DISTRelationLoss", intra_loss_weight=1.0)
    loss = MODELS.build(cfg)
    assert isinstance(loss, DISTRelationLoss)
    assert (loss.inter_loss_weight, loss.intra_loss_weight, loss.tau) == (2.0, 1.0, 4.0)
