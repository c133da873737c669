"""Distillation of logits, against the loops of tests.reference and by hand."""

import inspect
import math
import random
from functools import partial

import pytest
import torch

from pckd_mm.models.losses import PreviewKLDivergence, preview_kl_divergence
from pckd_mm.registry import MODELS
from tests import reference
from tests.reference import assert_near, assert_same, value_and_gradients

SIZES = {
    "usual": (5, 7),
    "one image": (1, 4),
    "one class": (3, 1),
    **{
        f"random {seed}": tuple(random.Random(seed).randint(1, 20) for _ in range(2))
        for seed in range(4)
    },
}


def make_inputs(images, classes, dtype=torch.float64):
    """Logits and weights, in the order of the arguments."""
    torch.manual_seed(images + 100 * classes)
    return (
        (5 * torch.randn(images, classes)).to(dtype),
        (5 * torch.randn(images, classes)).to(dtype),
        torch.rand(images).to(dtype),
    )


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)]
)
def test_value_and_gradients(size, dtype, tolerance):
    inputs = make_inputs(*size, dtype=dtype)
    assert_same(PreviewKLDivergence(), reference.kl_divergence, inputs, tolerance)
    assert_same(PreviewKLDivergence(), reference.kl_divergence, inputs[:-1], tolerance)


def test_other_temperature():
    assert_same(
        PreviewKLDivergence(tau=1.5),
        partial(reference.kl_divergence, tau=1.5),
        make_inputs(4, 6),
        1e-9,
    )


@pytest.mark.parametrize(
    ("dtype", "gradient_tolerance"), [(torch.bfloat16, 2e-2), (torch.float32, 1e-5)]
)
def test_autocast_computes_in_full_precision(dtype, gradient_tolerance):
    inputs = make_inputs(8, 6, dtype=dtype)
    # As in training, the backward pass is outside.
    loss = torch.autocast("cpu", torch.bfloat16)(PreviewKLDivergence())
    assert loss(*inputs).dtype == torch.float32
    assert_same(loss, reference.kl_divergence, inputs, 1e-5, gradient_tolerance)


def test_extreme_logits_in_half_precision():
    s_logits = torch.tensor([[1e4, -1e4, 0.0], [1e4, 1e4, -1e4]]).half()
    t_logits = torch.tensor([[-1e4, 1e4, 0.0], [1e4, 1e4, -1e4]]).half()
    value, (gradient, _) = value_and_gradients(
        PreviewKLDivergence(), s_logits, t_logits
    )
    # Row 0: the teacher is sure of class 1, whose logarithm is -2e4 / 4; row 1: equal.
    assert float(value) == pytest.approx(16 * 5000 / 2)
    # T (p_s - p_t) / B
    expected = torch.tensor([[2.0, -2.0, 0.0], [0.0, 0.0, 0.0]])
    assert torch.allclose(gradient.float(), expected, atol=1e-4)


def test_two_classes_by_hand():
    # At T = 4 the teacher gives (3/4, 1/4), the student (1/2, 1/2).
    s_logits = torch.zeros(1, 2)
    t_logits = torch.tensor([[4 * math.log(3), 0.0]])
    divergence = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    expected = 16 * divergence
    assert expected == pytest.approx(2.09299, abs=1e-5)
    loss = PreviewKLDivergence()
    assert float(loss(s_logits, t_logits)) == pytest.approx(expected, rel=1e-6)
    # The other way round it is another number.
    swapped = 16 * (0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25))
    assert float(loss(t_logits, s_logits)) == pytest.approx(swapped, rel=1e-6)
    # The weighted sum is divided by the images, not by the sum of the weights.
    weighted = loss(
        s_logits.repeat(3, 1), t_logits.repeat(3, 1), torch.tensor([1.0, 0.5, 0.0])
    )
    assert float(weighted) == pytest.approx(1.5 / 3 * expected, rel=1e-6)


def test_equal_logits_have_no_loss():
    logits, _, _ = make_inputs(4, 6)
    # A common shift changes no probability.
    assert float(PreviewKLDivergence()(logits, logits + 3)) == pytest.approx(0)


def test_only_the_student_gets_gradient():
    _, gradients = value_and_gradients(PreviewKLDivergence(), *make_inputs(4, 5))
    preds_S, preds_T, weight = gradients
    assert preds_S.any()
    assert preds_T is None and weight is None


def test_loss_weight():
    inputs = make_inputs(4, 5)
    value, (gradient, *_) = value_and_gradients(PreviewKLDivergence(), *inputs)
    scaled, (scaled_gradient, *_) = value_and_gradients(
        PreviewKLDivergence(loss_weight=0.9), *inputs
    )
    assert_near(scaled, 0.9 * value, 1e-12)
    assert_near(scaled_gradient, 0.9 * gradient, 1e-12)
    assert_near(preview_kl_divergence(*inputs), value, 1e-12)


def standardized(logits):
    """Each row less its mean, over its standard deviation (of C - 1)."""
    rows = []
    for row in logits:
        centered = [z - sum(row) / len(row) for z in row]
        variance = sum(z**2 for z in centered) / (len(row) - 1)
        rows.append(torch.stack([z / variance.sqrt() for z in centered]))
    return torch.stack(rows)


def plain_standardized(s_logits, t_logits, weights=None, tau=4.0):
    both = (standardized(x.double()) for x in (s_logits, t_logits.detach()))
    return reference.kl_divergence(*both, weights, tau)


class TestStandardize:
    @pytest.mark.parametrize("size", [(5, 7), (1, 4), (12, 20), (3, 2)])
    @pytest.mark.parametrize(
        ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)]
    )
    def test_value_and_gradients(self, size, dtype, tolerance):
        inputs = make_inputs(*size, dtype=dtype)
        loss = PreviewKLDivergence(tau=2.0, standardize=True)
        plain = partial(plain_standardized, tau=2.0)
        if size[1] == 2:  # all that is left of two logits is which is larger
            value, gradients = value_and_gradients(loss, *inputs)
            assert_near(value, plain(*inputs), tolerance)
            assert gradients[0].abs().max() < tolerance
            return
        assert_same(loss, plain, inputs, tolerance)
        assert_same(loss, plain, inputs[:-1], tolerance)

    def test_by_hand(self):
        # (3, 1, -1) and (1, -1, 3) are (1, 0, -1) and (0, -1, 1): mean and standard
        # deviation are 1 and 2. At T = 1 their probabilities have one sum.
        found = PreviewKLDivergence(tau=1.0, standardize=True)(
            torch.tensor([[3.0, 1.0, -1.0]]), torch.tensor([[1.0, -1.0, 3.0]])
        )
        total = math.e + 1 + 1 / math.e
        expected = (1 * (0 - 1) + 1 / math.e * (-1 - 0) + math.e * (1 + 1)) / total
        assert float(found) == pytest.approx(expected, rel=1e-6)

    def test_neither_size_nor_shift_of_the_logits_counts(self):
        s_logits, t_logits, weight = make_inputs(4, 6)
        loss = PreviewKLDivergence(standardize=True)
        value = loss(s_logits, t_logits, weight)
        assert_near(loss(s_logits, 7 * t_logits + 3, weight), value, 1e-12)
        assert float(loss(s_logits, 7 * s_logits + 3)) == pytest.approx(0, abs=1e-12)

    @pytest.mark.parametrize("size", [(3, 5), (3, 1)])
    def test_equal_logits_count_as_zeros_without_gradient(self, size):
        _, t_logits, _ = make_inputs(*size)
        loss = PreviewKLDivergence(standardize=True)
        value, (gradient, _) = value_and_gradients(
            loss, torch.full(size, 0.1).double(), t_logits
        )
        assert not gradient.any()
        if size[1] > 1:
            zeros = torch.zeros(size).double()
            expected = reference.kl_divergence(zeros, standardized(t_logits))
            assert_near(value, expected, 1e-9)

    def test_autocast_computes_in_full_precision(self):
        inputs = make_inputs(8, 6, dtype=torch.bfloat16)
        loss = PreviewKLDivergence(standardize=True)
        loss = torch.autocast("cpu", torch.bfloat16)(loss)
        assert loss(*inputs).dtype == torch.float32
        assert_same(loss, plain_standardized, inputs, 1e-5, 2e-2)

    def test_refused_for_several_labels(self):
        with pytest.raises(ValueError, match="set standardize=False"):
            PreviewKLDivergence(use_sigmoid=True, standardize=True)
        logits = torch.ones(2, 3)
        with pytest.raises(ValueError, match="set standardize=False"):
            preview_kl_divergence(logits, logits, use_sigmoid=True, standardize=True)
        PreviewKLDivergence(use_sigmoid=True, standardize=False)


@pytest.mark.parametrize("views", [1, 2, 4])
def test_views_share_the_weight_of_their_image(views):
    s_logits, t_logits, _ = make_inputs(3 * views, 5)
    weights = torch.tensor([0.5, 0.0, 2.0], dtype=torch.float64)
    by_row = [weights.tolist()[row // views] for row in range(3 * views)]

    def plain(s_logits, t_logits, weights):
        return reference.kl_divergence(s_logits, t_logits, by_row)

    assert_same(PreviewKLDivergence(), plain, (s_logits, t_logits, weights), 1e-9)


@pytest.mark.parametrize("shape", [(3,), (8,), (4, 1), ()])
def test_weights_that_are_not_one_for_each_image(shape):
    with pytest.raises(ValueError, match="for 4 rows; expected one weight for each"):
        PreviewKLDivergence()(torch.ones(4, 5), torch.ones(4, 5), torch.ones(shape))


def test_no_rows():
    logits = torch.ones(0, 5, requires_grad=True)
    loss = PreviewKLDivergence()(logits, logits, torch.ones(0))
    loss.backward()
    assert float(loss.detach()) == 0 and logits.grad.shape == (0, 5)


def test_unequal_shapes_are_an_error():
    with pytest.raises(ValueError, match=r"\(8, 3\).*\(8, 5\)"):
        PreviewKLDivergence()(torch.ones(8, 3), torch.ones(8, 5))
    with pytest.raises(ValueError, match=r"\(2, 5\).*\(8, 5\)"):
        PreviewKLDivergence()(torch.ones(2, 5), torch.ones(8, 5))


def test_signature_and_defaults():
    init = inspect.signature(PreviewKLDivergence).parameters.values()
    assert [(p.name, p.default) for p in init] == [
        ("tau", 4.0),
        ("loss_weight", 1.0),
        ("use_sigmoid", False),
        ("standardize", False),
    ]
    forward = inspect.signature(PreviewKLDivergence().forward).parameters.values()
    required = inspect.Parameter.empty
    assert [(p.name, p.default) for p in forward] == [
        ("preds_S", required),
        ("preds_T", required),
        ("weight", None),
    ]


def test_built_from_registry():
    loss = MODELS.build(dict(type="pckd_mm.PreviewKLDivergence", loss_weight=0.9))
    assert isinstance(loss, PreviewKLDivergence)
    assert (loss.tau, loss.loss_weight) == (4.0, 0.9)
    assert not list(loss.parameters())
