"""Contrast with category centers, against plain loops and by hand."""

import math
from functools import partial

import pytest
import torch

from pckd_mm.models.losses import CenterContrastiveLoss, center_contrast
from pckd_mm.registry import MODELS
from tests.reference import (
    assert_near,
    assert_same,
    constants,
    cosine,
    log_softmax,
    value_and_gradients,
)
from tests.test_models.test_losses.test_category_contrastive_loss import (
    SIZES,
    make_inputs,
)


def plain(s_embed, t_embed, s_centers, t_centers, labels, weights=None, tau=0.07):
    """(1/N) sum_n v (l(e_s, W_s) + l(e_t, W_t)), center by center."""
    views = len(s_embed) // len(labels)
    weights = constants(weights, len(labels))
    total = 0.0
    for embeds, centers in ((s_embed, s_centers), (t_embed, t_centers.detach())):
        for n, embed in enumerate(embeds.double()):
            cosines = [cosine(embed, center) / tau for center in centers.double()]
            loss = -log_softmax(torch.stack(cosines))[int(labels[n // views])]
            total = total + weights[n // views] * loss
    return total / len(s_embed)


LOSS = CenterContrastiveLoss()


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)]
)
def test_value_and_gradients(size, dtype, tolerance):
    inputs = make_inputs(*size, dtype=dtype)
    if dtype == torch.float32 and 1 in size[3:]:  # of one dimension: gradients of zero
        value, _ = value_and_gradients(LOSS, *inputs)
        assert_near(value, plain(*inputs), tolerance)
        return
    assert_same(LOSS, plain, inputs, tolerance)
    assert_same(LOSS, plain, inputs[:-1], tolerance)


def test_other_temperature():
    inputs = make_inputs(3, 2, 4, 5, 6)
    loss = CenterContrastiveLoss(tau=0.5)
    assert_same(loss, partial(plain, tau=0.5), inputs, 1e-9)
    assert torch.equal(loss(*inputs), center_contrast(*inputs, tau=0.5))


def test_zero_embeddings_and_centers():
    inputs = list(make_inputs(3, 4, 5, 6, 4))
    inputs[0] = torch.zeros_like(inputs[0])
    inputs[1][::2] = 0
    inputs[2][1] = 0
    assert_same(LOSS, plain, inputs, 1e-9)


def test_by_hand():
    # Cosines with the two centers, whatever their lengths, are 1 and 0 for the student
    # and 0.6 and 0.8 for the teacher; the label is the first.
    found = CenterContrastiveLoss(tau=0.5)(
        torch.tensor([[2.0, 0.0]]),
        torch.tensor([[3.0, 4.0]]),
        torch.tensor([[7.0, 0.0], [0.0, 1.0]]),
        torch.tensor([[2.0, 0.0], [0.0, 5.0]]),
        torch.tensor([0]),
    )
    expected = math.log(1 + math.exp(-2)) + math.log(1 + math.exp(0.4))
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_rows_are_sample_major_and_their_weights_those_of_the_image():
    embed, _, centers, _, labels, _ = make_inputs(3, 4, 5, 6, 6)
    weights = torch.tensor([0.5, 0.0, 2.0], dtype=torch.float64)
    parts = [
        LOSS(*[embed[4 * i : 4 * i + 4]] * 2, centers, centers, labels[i : i + 1])
        for i in range(3)
    ]
    found = LOSS(embed, embed, centers, centers, labels, weights)
    assert_near(found, (0.5 * parts[0] + 2 * parts[2]) / 3, 1e-12)


def test_who_gets_gradient():
    _, gradients = value_and_gradients(LOSS, *make_inputs(3, 4, 5, 6, 7))
    s_embed, t_embed, s_centers, t_centers, labels, weight = gradients
    assert s_embed.any() and t_embed.any() and s_centers.any()
    assert t_centers is None and labels is None and weight is None


@pytest.mark.parametrize(
    ("dtype", "gradient_tolerance"), [(torch.bfloat16, 2e-2), (torch.float32, 1e-4)]
)
def test_autocast_computes_in_full_precision(dtype, gradient_tolerance):
    inputs = make_inputs(4, 4, 5, 6, 7, dtype=dtype)
    loss = torch.autocast("cpu", torch.bfloat16)(LOSS)
    assert loss(*inputs).dtype == torch.float32
    assert_same(loss, plain, inputs, 1e-5, gradient_tolerance)


def test_no_rows():
    embed = torch.ones(0, 3, requires_grad=True)
    centers = torch.ones(4, 3, requires_grad=True)
    labels = torch.zeros(0, dtype=torch.long)
    loss = LOSS(embed, embed, centers, centers, labels, torch.ones(0))
    loss.backward()
    assert float(loss.detach()) == 0
    assert centers.grad is not None and not centers.grad.any()


def test_rows_without_whole_images_are_an_error():
    embed, centers = torch.ones(5, 2), torch.ones(4, 2)
    labels = torch.zeros(3, dtype=torch.long)
    with pytest.raises(ValueError, match="^CenterContrastiveLoss found 5 rows for 3"):
        LOSS(embed, embed, centers, centers, labels)


def test_built_from_registry():
    inputs = make_inputs(2, 4, 5, 6, 7)
    loss = MODELS.build(dict(type="pckd_mm.CenterContrastiveLoss", loss_weight=0.3))
    assert isinstance(loss, CenterContrastiveLoss)
    assert loss.tau == 0.07
    assert not list(loss.parameters())
    assert_near(loss(*inputs), 0.3 * LOSS(*inputs), 1e-12)
