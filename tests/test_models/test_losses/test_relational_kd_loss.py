"""Relational distillation, against plain loops and by hand."""

import math

import pytest
import torch
from mmrazor.models.losses import DistanceWiseRKD

from pckd_mm.models.losses import AngleRKDLoss, DistanceRKDLoss
from pckd_mm.registry import MODELS
from tests.reference import (
    assert_near,
    assert_same,
    cosine,
    mean,
    value_and_gradients,
)


def smooth_l1(difference):
    size = abs(difference)
    return 0.5 * size**2 if size < 1 else size - 0.5


def plain_distance(s_feat, t_feat):
    def distances(rows):
        images = range(len(rows))
        found = {
            (i, j): (rows[i] - rows[j]).square().sum().sqrt()
            for i in images
            for j in images
            if i != j
        }
        average = mean(list(found.values()))
        return {pair: distance / average for pair, distance in found.items()}

    s, t = distances(s_feat.double()), distances(t_feat.double().detach())
    # The mean counts the zeros of the diagonal.
    return 25 * sum(smooth_l1(s[pair] - t[pair]) for pair in s) / len(s_feat) ** 2


def plain_angle(s_feat, t_feat):
    s, t = s_feat.double(), t_feat.double().detach()
    images = range(len(s))
    losses = []
    for i in images:
        for j in images:
            for k in images:
                angles = [
                    cosine(rows[j] - rows[i], rows[k] - rows[i]) for rows in (s, t)
                ]
                losses.append(smooth_l1(angles[0] - angles[1]))
    return 50 * mean(losses)


CASES = [(DistanceRKDLoss, plain_distance), (AngleRKDLoss, plain_angle)]


def make_inputs(images=4, widths=(4, 6), dtype=torch.float64):
    torch.manual_seed(images)
    return [(3 * torch.rand(images, width)).to(dtype) for width in widths]


@pytest.mark.parametrize(("loss", "plain"), CASES)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-8), (torch.float32, 1e-4)]
)
@pytest.mark.parametrize("images", [2, 4])
def test_value_and_gradients(loss, plain, images, dtype, tolerance):
    assert_same(loss(), plain, make_inputs(images, dtype=dtype), tolerance)


def test_distances_by_hand():
    # Distances 3, 4, 5 over their mean 4, and 1, 1, 2 over 4/3.
    s = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    t = torch.tensor([[0.0], [1.0], [-1.0]])
    pairs = [(3 / 4, 3 / 4), (1, 3 / 4), (5 / 4, 6 / 4)]
    expected = 25 * 2 * sum(0.5 * (a - b) ** 2 for a, b in pairs) / 9
    assert float(DistanceRKDLoss()(s, t)) == pytest.approx(expected, rel=1e-5)


def test_right_angle_by_hand():
    # A right isosceles triangle and an equilateral one: of the 27 triples 15 have two
    # equal images apart from the vertex or the vertex itself, cosines 0 or 1 on both
    # sides; the others differ by 1/2 (right angle) and 1/2 - cos 45 (twice).
    s = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    t = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, math.sqrt(3) / 2]])
    differences = [0.5, math.sqrt(0.5) - 0.5, math.sqrt(0.5) - 0.5]
    expected = 50 * sum(2 * 0.5 * d**2 for d in differences) / 27
    assert float(AngleRKDLoss()(s, t)) == pytest.approx(expected, rel=1e-5)


def test_mmrazors_distance_is_ours_without_the_length():
    inputs = make_inputs(6)
    torch.testing.assert_close(
        DistanceWiseRKD(with_l2_norm=False)(*inputs), DistanceRKDLoss()(*inputs)
    )
    torch.testing.assert_close(
        DistanceWiseRKD()(*inputs), DistanceRKDLoss(with_l2_norm=True)(*inputs)
    )


@pytest.mark.parametrize(("loss", "plain"), CASES)
def test_features_of_length_one(loss, plain):
    inputs = make_inputs()
    found = loss(with_l2_norm=True)(*inputs)
    scaled = [x / x.square().sum(dim=1, keepdim=True).sqrt() for x in inputs]
    assert_near(found, plain(*scaled), 1e-8)
    assert abs(found / loss()(*inputs) - 1) > 0.01


@pytest.mark.parametrize(("loss", "plain"), CASES)
def test_autocast_computes_in_full_precision(loss, plain):
    inputs = make_inputs(dtype=torch.bfloat16)
    autocast = torch.autocast("cpu", torch.bfloat16)(loss())
    assert autocast(*inputs).dtype == torch.float32
    assert_same(autocast, plain, inputs, 1e-4, 2e-2)


@pytest.mark.parametrize(("loss", "plain"), CASES)
def test_only_the_student_gets_gradient(loss, plain):
    _, (student, teacher) = value_and_gradients(loss(), *make_inputs())
    assert student.any() and teacher is None


@pytest.mark.parametrize(("loss", "plain"), CASES)
def test_equal_images_have_finite_gradients(loss, plain):
    inputs = [x[[0, 0, 1, 2]] for x in make_inputs()]
    value, (gradient, _) = value_and_gradients(loss(), *inputs)
    assert value.isfinite() and gradient.isfinite().all()


@pytest.mark.parametrize(("loss", "plain"), CASES)
def test_loss_weight(loss, plain):
    inputs = make_inputs()
    weight = loss().loss_weight
    assert_near(loss(loss_weight=1.0)(*inputs), loss()(*inputs) / weight, 1e-12)


def test_numbers_of_images():
    with pytest.raises(ValueError, match="3 features of the student and 4"):
        AngleRKDLoss()(torch.ones(3, 2), torch.ones(4, 2))
    with pytest.raises(ValueError, match="at least 2"):
        DistanceRKDLoss()(torch.ones(1, 2), torch.ones(1, 2))


def test_built_from_registry():
    loss = MODELS.build(dict(type="pckd_mm.DistanceRKDLoss"))
    assert (loss.loss_weight, loss.with_l2_norm) == (25.0, False)
    loss = MODELS.build(dict(type="pckd_mm.AngleRKDLoss"))
    assert (loss.loss_weight, loss.with_l2_norm) == (50.0, False)
