"""Attention transfer, against plain loops and by hand."""

import math

import pytest
import torch

from pckd_mm.models.losses import AttentionTransferLoss, attention_transfer
from pckd_mm.registry import MODELS
from tests.reference import assert_near, assert_same, mean, value_and_gradients


def attention(feature, factor):
    """Map of one image, pixel by pixel, after pooling factor x factor."""
    channels, height, width = feature.shape
    pixels = []
    for top in range(0, height, factor):
        for left in range(0, width, factor):
            block = feature[:, top : top + factor, left : left + factor]
            pooled = [block[c].sum() / factor**2 for c in range(channels)]
            pixels.append(mean([value**2 for value in pooled]))
    length = sum(pixel**2 for pixel in pixels).sqrt()
    return [pixel / length for pixel in pixels]


def plain_attention(s_feature, t_feature):
    s, t = s_feature.double(), t_feature.double().detach()
    size = min(s.shape[-1], t.shape[-1])
    differences = []
    for image in range(len(s)):
        maps = [attention(x[image], x.shape[-1] // size) for x in (s, t)]
        differences += [(a - b) ** 2 for a, b in zip(*maps, strict=True)]
    return mean(differences)


def make_inputs(s_size=4, t_size=4, dtype=torch.float64):
    torch.manual_seed(s_size + 10 * t_size)
    return (
        torch.randn(3, 2, s_size, s_size).to(dtype),
        torch.randn(3, 5, t_size, t_size).to(dtype),
    )


@pytest.mark.parametrize("sizes", [(4, 4), (8, 4), (4, 8), (8, 2)])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)]
)
def test_value_and_gradients(sizes, dtype, tolerance):
    assert_same(
        attention_transfer, plain_attention, make_inputs(*sizes, dtype), tolerance
    )


def test_two_pixels_by_hand():
    # Squares 9 and 16: lengths 9 / sqrt(337), 16 / sqrt(337); the teacher's are equal.
    s = torch.tensor([[[[3.0, -4.0]]]])
    t = torch.tensor([[[[2.0, 2.0]]]])
    expected = [(a / math.sqrt(337) - math.sqrt(0.5)) ** 2 for a in (9, 16)]
    found = attention_transfer(s, t)
    assert float(found) == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_sum_over_the_first_stages_of_both():
    s = [make_inputs(size)[0] for size in (8, 4, 2)]
    t = [make_inputs(4, size)[1] for size in (8, 2, 2, 1)]
    expected = sum(plain_attention(s[i], t[i]) for i in range(3))
    assert_near(AttentionTransferLoss(loss_weight=10.0)(s, t), 10 * expected, 1e-9)
    assert_near(
        AttentionTransferLoss()(s[:2], t),
        sum(plain_attention(s[i], t[i]) for i in range(2)),
        1e-9,
    )


def test_autocast_computes_in_full_precision():
    inputs = make_inputs(8, 4, torch.bfloat16)
    loss = torch.autocast("cpu", torch.bfloat16)(attention_transfer)
    assert loss(*inputs).dtype == torch.float32
    assert_same(loss, plain_attention, inputs, 1e-4, 2e-2)


def test_only_the_student_gets_gradient():
    _, (student, teacher) = value_and_gradients(attention_transfer, *make_inputs())
    assert student.any() and teacher is None


def test_built_from_registry():
    loss = MODELS.build(dict(type="pckd_mm.AttentionTransferLoss", loss_weight=1000.0))
    assert isinstance(loss, AttentionTransferLoss) and loss.loss_weight == 1000.0
