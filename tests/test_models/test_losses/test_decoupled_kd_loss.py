"""Decoupled distillation, against plain loops and by hand."""

import math
from functools import partial

import pytest
import torch
from mmrazor.models.losses import DKDLoss

from pckd_mm.models.losses import DecoupledKDLoss
from pckd_mm.registry import MODELS
from tests.reference import (
    assert_near,
    assert_same,
    constants,
    mean,
    value_and_gradients,
)


def plain_dkd(s_logits, t_logits, labels, weights=None, tau=4.0, alpha=1.0, beta=8.0):
    """alpha TCKD + beta NCKD, image by image, view by view and class by class."""
    losses = []
    views = len(s_logits) // len(labels)
    weights = constants(weights, len(labels))
    for row, (s, t) in enumerate(
        zip(s_logits.double(), t_logits.double(), strict=True)
    ):
        label, v = labels[row // views], weights[row // views]
        p_s, p_t = ([math.e ** (z / tau) for z in row] for row in (s, t.detach()))
        p_s, p_t = ([p / sum(row) for p in row] for row in (p_s, p_t))
        target = int(label)
        others = [c for c in range(len(p_s)) if c != target]
        rest_s, rest_t = (sum(p[c] for c in others) for p in (p_s, p_t))
        tckd = p_t[target] * (p_t[target] / p_s[target]).log()
        tckd = tckd + rest_t * (rest_t / rest_s).log()
        nckd = sum(
            p_t[c] / rest_t * ((p_t[c] / rest_t) / (p_s[c] / rest_s)).log()
            for c in others
        )
        losses.append(v * tau**2 * (alpha * tckd + beta * nckd))
    return mean(losses)


def make_inputs(images=5, classes=7, dtype=torch.float64):
    torch.manual_seed(images + classes)
    return (
        (5 * torch.randn(images, classes)).to(dtype),
        (5 * torch.randn(images, classes)).to(dtype),
        torch.randint(classes, (images,)),
    )


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)]
)
@pytest.mark.parametrize("size", [(5, 7), (1, 3), (12, 20)])
def test_value_and_gradients(size, dtype, tolerance):
    assert_same(DecoupledKDLoss(), plain_dkd, make_inputs(*size, dtype), tolerance)


def test_other_weights_and_temperature():
    settings = dict(tau=2.0, alpha=0.5, beta=3.0)
    assert_same(
        DecoupledKDLoss(**settings),
        partial(plain_dkd, **settings),
        make_inputs(),
        1e-9,
    )


@pytest.mark.parametrize(
    ("reduction", "factor"), [("batchmean", 1), ("mean", 6), ("none", 6), ("sum", 6)]
)
@pytest.mark.filterwarnings("ignore:size_average")
def test_mmrazors_sums_for_every_reduction_but_one(reduction, factor):
    inputs = make_inputs(images=6)
    razors = DKDLoss(tau=4.0, beta=8.0, reduction=reduction)(*inputs)
    torch.testing.assert_close(razors, factor * DecoupledKDLoss()(*inputs))


def test_two_others_by_hand():
    # T = 1; student uniform, teacher (1/2, 1/3, 1/6), target 0.
    student = torch.zeros(1, 3)
    teacher = torch.tensor([[math.log(3), math.log(2), 0.0]])
    tckd = 0.5 * math.log(0.5 * 3) + 0.5 * math.log(0.5 * 1.5)
    nckd = 2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(2 / 3)
    loss = DecoupledKDLoss(tau=1.0, alpha=1.0, beta=10.0)
    found = loss(student, teacher, torch.tensor([0]))
    assert float(found) == pytest.approx(tckd + 10 * nckd, rel=1e-5)


def weighted(s_logits, t_logits, labels, weight):
    """The arguments in the order of :func:`plain_dkd`."""
    return DecoupledKDLoss()(s_logits, t_logits, labels, weight=weight)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)]
)
@pytest.mark.parametrize("views", [1, 4])
def test_preview_weights(views, dtype, tolerance):
    s_logits, t_logits, _ = make_inputs(5 * views, 7, dtype)
    labels = torch.tensor([0, 6, 2, 2, 5])
    weight = torch.tensor([1.0, 0.3, 0.0, 1e-4, 1.0], dtype=dtype)
    inputs = (s_logits, t_logits, labels, weight)
    assert_same(weighted, plain_dkd, inputs, tolerance)
    _, gradients = value_and_gradients(weighted, *inputs)
    assert gradients[3] is None
    # By the images, not by the sum of the weights; weights of one are no weights.
    half = weighted(s_logits, t_logits, labels, torch.full((5,), 0.5))
    assert_near(half, 0.5 * DecoupledKDLoss()(s_logits, t_logits, labels), 1e-6)


def test_all_views_have_the_label_of_their_image():
    s_logits, t_logits, labels = make_inputs(8, 5)
    assert_same(DecoupledKDLoss(), plain_dkd, (s_logits, t_logits, labels[:2]), 1e-9)
    with pytest.raises(ValueError, match="found 8 rows for 3 labels"):
        DecoupledKDLoss()(s_logits, t_logits, labels[:3])
    with pytest.raises(ValueError, match=r"weights of shape \(8,\) for labels of"):
        DecoupledKDLoss()(s_logits, t_logits, labels[:2], weight=torch.ones(8))


def test_no_rows():
    s_logits = torch.ones(0, 5, requires_grad=True)
    labels = torch.zeros(0, dtype=torch.long)
    loss = DecoupledKDLoss()(s_logits, s_logits, labels, weight=torch.ones(0))
    loss.backward()
    assert float(loss.detach()) == 0


def test_autocast_computes_in_full_precision():
    inputs = make_inputs(8, 6, torch.bfloat16)
    loss = torch.autocast("cpu", torch.bfloat16)(DecoupledKDLoss())
    assert loss(*inputs).dtype == torch.float32
    assert_same(loss, plain_dkd, inputs, 1e-4, 2e-2)


def test_only_the_student_gets_gradient():
    _, (student, teacher, _) = value_and_gradients(DecoupledKDLoss(), *make_inputs())
    assert student.any() and teacher is None


@pytest.mark.parametrize(
    ("progress", "factor"),
    # Epochs 1, 10, 20, 21 and 240 of 240; none.
    [(1 / 240, 0.05), (10 / 240, 0.5), (20 / 240, 1), (21 / 240, 1), (1, 1), (None, 1)],
)
def test_warmup(progress, factor):
    inputs = make_inputs()
    whole = DecoupledKDLoss(warmup=0)(*inputs, progress=progress)
    found = DecoupledKDLoss()(*inputs, progress=progress)
    assert_near(found, factor * whole, 1e-12)


def test_loss_weight():
    inputs = make_inputs()
    whole = DecoupledKDLoss()(*inputs)
    assert_near(DecoupledKDLoss(loss_weight=0.3)(*inputs), 0.3 * whole, 1e-12)


@pytest.mark.parametrize("warmup", [-0.1, 20])
def test_warmup_that_is_no_share(warmup):
    with pytest.raises(ValueError, match=f"warmup={warmup}; expected a share"):
        DecoupledKDLoss(warmup=warmup)


def test_built_from_registry():
    loss = MODELS.build(dict(type="pckd_mm.DecoupledKDLoss", beta=6.0))
    assert isinstance(loss, DecoupledKDLoss)
    assert (loss.tau, loss.alpha, loss.beta, loss.warmup) == (4.0, 1.0, 6.0, 20 / 240)
