"""DIST, against plain loops."""

import math
from functools import partial

import pytest
import torch

from pckd_mm.models.losses import DISTRelationLoss
from pckd_mm.registry import MODELS
from tests.reference import assert_near, assert_same, mean, value_and_gradients


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


def weighted_pearson(a, b, weights):
    """Weighted correlation of two lists; 1e-8 is added to the divisor."""
    share = [v / mean(weights) for v in weights]
    means = [mean([v * x for v, x in zip(share, row, strict=True)]) for row in (a, b)]
    a, b = ([x - m for x in row] for row, m in zip((a, b), means, strict=True))
    pairs = list(zip(share, a, b, strict=True))
    covariance = sum(v * x * y for v, x, y in pairs)
    lengths = [sum(v * z[k] ** 2 for v, *z in pairs).sqrt() for k in (0, 1)]
    return covariance / (lengths[0] * lengths[1] + 1e-8)


def plain_weighted(s_logits, t_logits, weights, views=1, tau=4):
    """2 inter + 2 intra at T = tau, of images with weights."""
    weights = [v for v in weights.tolist() for _ in range(views)]

    def probabilities(logits):
        rows = [[(z / tau).exp() for z in row] for row in logits.double()]
        return [[p / sum(row) for p in row] for row in rows]

    s, t = probabilities(s_logits), probabilities(t_logits.detach())
    ones = [1.0] * len(s[0])
    inter = mean(
        [
            v * (1 - weighted_pearson(a, b, ones))
            for v, a, b in zip(weights, s, t, strict=True)
        ]
    )
    columns = zip(zip(*s, strict=True), zip(*t, strict=True), strict=True)
    intra = mean([1 - weighted_pearson(a, b, weights) for a, b in columns])
    return tau**2 * (2 * inter + 2 * intra)


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


WEIGHTS = torch.tensor([1.0, 0.3, 0.0, 1e-4, 1.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)]
)
@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_preview_weights(scale, dtype, tolerance):
    inputs = (*make_inputs(dtype), (scale * WEIGHTS).to(dtype))
    assert_same(LOSS, plain_weighted, inputs, tolerance)


@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["plain", "weighted"])
def test_loss_weight_and_temperature(weight):
    inputs = make_inputs()
    scaled = DISTRelationLoss(loss_weight=0.3)(*inputs, weight)
    assert_near(scaled, 0.3 * LOSS(*inputs, weight), 1e-12)
    # Logits over 2, and a factor of 2^2.
    weights = torch.ones(5) if weight is None else weight
    warm = DISTRelationLoss(tau=2.0)(*inputs, weight)
    assert_near(warm, plain_weighted(*inputs, weights, tau=2), 1e-6)


def test_weights_of_one_are_no_weights():
    inputs = make_inputs()
    assert_same(
        partial(LOSS, weight=torch.ones(5, dtype=torch.float64)), LOSS, inputs, 1e-12
    )


def test_intra_class_relation_of_whole_weights_counts_images_several_times():
    s_logits, t_logits = make_inputs()
    loss = DISTRelationLoss(inter_loss_weight=0.0)
    weight = torch.tensor([1.0, 3.0, 0.0, 1.0, 2.0], dtype=torch.float64)
    times = torch.tensor([0, 1, 1, 1, 3, 4, 4])
    several = loss(s_logits[times], t_logits[times])
    assert_near(loss(s_logits, t_logits, weight), several, 1e-6)  # but for the 1e-8


def test_inter_class_relation_is_divided_by_the_images():
    s_logits, t_logits = make_inputs()
    loss = DISTRelationLoss(intra_loss_weight=0.0)
    one = loss(s_logits[1:2], t_logits[1:2])
    weight = torch.tensor([0, 0.5, 0, 0, 0], dtype=torch.float64)
    assert_near(loss(s_logits, t_logits, weight), 0.5 * one / 5, 1e-9)


def test_weights_of_zero():
    inputs = (*make_inputs(), torch.zeros(5))
    value, (gradient, *_) = value_and_gradients(LOSS, *inputs)
    assert float(value) == 16 * 2  # no relation of the classes
    assert not gradient.any()


def test_views_share_the_weight_of_their_image():
    torch.manual_seed(1)
    logits = [5 * torch.randn(20, 7).double() for _ in range(2)]
    assert_same(LOSS, partial(plain_weighted, views=4), (*logits, WEIGHTS), 1e-9)
    with pytest.raises(ValueError, match=r"weights of shape \(3,\) for 20 rows"):
        LOSS(*logits, WEIGHTS[:3])


def test_weights_get_no_gradient():
    _, (_, teacher, weight) = value_and_gradients(LOSS, *make_inputs(), WEIGHTS)
    assert teacher is None and weight is None


def test_only_the_student_gets_gradient():
    _, (student, teacher) = value_and_gradients(LOSS, *make_inputs())
    assert student.any() and teacher is None


def test_built_from_registry():
    cfg = dict(type="pckd_mm.DISTRelationLoss", intra_loss_weight=1.0)
    loss = MODELS.build(cfg)
    assert isinstance(loss, DISTRelationLoss)
    assert (loss.inter_loss_weight, loss.intra_loss_weight, loss.tau) == (2.0, 1.0, 4.0)
