"""Feature alignment, against the loops of tests.reference and by hand."""

import inspect
import random

import pytest
import torch

from pckd_mm.models.losses import FeatureAlignmentLoss, feature_alignment
from pckd_mm.registry import MODELS
from tests import reference
from tests.reference import assert_near, assert_same, value_and_gradients

SIZES = {
    "usual": (12, 5),
    "one row": (1, 4),
    "width one": (6, 1),
    **{
        f"random {seed}": tuple(random.Random(seed).randint(1, 20) for _ in range(2))
        for seed in range(4)
    },
}


def make_inputs(rows, width, dtype=torch.float64):
    torch.manual_seed(rows + 100 * width)
    return torch.randn(rows, width).to(dtype), 3 * torch.randn(rows, width).to(dtype)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)]
)
def test_value_and_gradients(size, dtype, tolerance):
    assert_same(
        FeatureAlignmentLoss(),
        reference.feature_alignment,
        make_inputs(*size, dtype=dtype),
        tolerance,
    )


def test_zero_features():
    s_feat, t_feat = make_inputs(6, 5)
    s_feat[0] = 0
    t_feat[1] = 0
    s_feat[2] = t_feat[2] = 0
    assert_same(
        FeatureAlignmentLoss(), reference.feature_alignment, (s_feat, t_feat), 1e-9
    )
    # The cosine counts as 0 and there is no direction to move in.
    value, (gradient, _) = value_and_gradients(
        FeatureAlignmentLoss(), s_feat[:3], t_feat[:3]
    )
    assert float(value) == 2
    assert not gradient.any()


@pytest.mark.parametrize(
    ("dtype", "gradient_tolerance"), [(torch.bfloat16, 2e-2), (torch.float32, 1e-5)]
)
def test_autocast_computes_in_full_precision(dtype, gradient_tolerance):
    inputs = make_inputs(8, 6, dtype=dtype)
    # As in training, the backward pass is outside.
    loss = torch.autocast("cpu", torch.bfloat16)(FeatureAlignmentLoss())
    assert loss(*inputs).dtype == torch.float32
    assert_same(loss, reference.feature_alignment, inputs, 1e-5, gradient_tolerance)


@pytest.mark.parametrize("scale", [1e4, -1e4, 1e-6])
def test_extreme_values_in_half_precision(scale):
    s_feat, t_feat = (scale * x.half() for x in make_inputs(4, 6))
    value, (gradient, _) = value_and_gradients(FeatureAlignmentLoss(), s_feat, t_feat)
    expected = reference.feature_alignment(s_feat, t_feat)
    assert_near(value, expected, 1e-5)
    assert not gradient.isnan().any()


def test_by_hand():
    loss = FeatureAlignmentLoss()
    right, up = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 5.0]])
    assert float(loss(right, up)) == pytest.approx(2)
    assert float(loss(right, 7 * right)) == pytest.approx(0, abs=1e-6)
    assert float(loss(right, -right)) == pytest.approx(4)
    # cos = (3 * 4 + 4 * 3) / 25, and the mean is over the rows.
    s_feat, t_feat = torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, 3.0]])
    assert float(loss(s_feat, t_feat)) == pytest.approx(2 - 2 * 0.96, rel=1e-5)
    both = loss(torch.cat([s_feat, right]), torch.cat([t_feat, up]))
    assert float(both) == pytest.approx((0.08 + 2) / 2, rel=1e-5)


def test_only_the_student_gets_gradient():
    _, (s_feat, t_feat) = value_and_gradients(
        FeatureAlignmentLoss(), *make_inputs(4, 5)
    )
    assert s_feat.any()
    assert t_feat is None


def test_loss_weight():
    inputs = make_inputs(4, 5)
    value, (gradient, _) = value_and_gradients(FeatureAlignmentLoss(), *inputs)
    scaled, (scaled_gradient, _) = value_and_gradients(
        FeatureAlignmentLoss(loss_weight=20.0), *inputs
    )
    assert_near(scaled, 20 * value, 1e-12)
    assert_near(scaled_gradient, 20 * gradient, 1e-12)
    assert_near(feature_alignment(*inputs), value, 1e-12)


@pytest.mark.parametrize(
    ("anneal_to", "progress", "factor"),
    # Epochs 1, 120 and 240 of 240.
    [
        (0.0, 1 / 240, 239 / 240),
        (0.0, 0.5, 0.5),
        (0.0, 1.0, 0.0),
        (0.25, 0.5, 0.625),
        (0.25, 1.0, 0.25),
        (3.0, 0.5, 2.0),
        (1.0, 0.5, 1.0),
        (1.0, None, 1.0),
    ],
)
def test_annealed(anneal_to, progress, factor):
    inputs = make_inputs(4, 5)
    loss = FeatureAlignmentLoss(loss_weight=20.0, anneal_to=anneal_to)
    assert_same(
        lambda *features: loss(*features, progress=progress),
        lambda *features: 20 * factor * reference.feature_alignment(*features),
        inputs,
        1e-9,
    )


def test_annealed_without_progress_is_an_error():
    inputs = make_inputs(4, 5)
    loss = FeatureAlignmentLoss(anneal_to=0.1)
    with pytest.raises(ValueError, match="anneal_to=0.1 and found no progress"):
        loss(*inputs)
    assert loss.needed_arguments == ("progress",)
    assert FeatureAlignmentLoss().needed_arguments == ()


@pytest.mark.parametrize("anneal_to", [-0.1, float("nan")])
def test_negative_weights_are_an_error(anneal_to):
    with pytest.raises(ValueError, match=f"anneal_to={anneal_to}; expected"):
        FeatureAlignmentLoss(anneal_to=anneal_to)


def test_unequal_shapes_are_an_error():
    with pytest.raises(ValueError, match=r"\(8, 3\).*\(8, 5\)"):
        FeatureAlignmentLoss()(torch.ones(8, 3), torch.ones(8, 5))
    with pytest.raises(ValueError, match=r"\(1, 5\).*\(8, 5\)"):
        FeatureAlignmentLoss()(torch.ones(1, 5), torch.ones(8, 5))


def test_signature_and_defaults():
    init = inspect.signature(FeatureAlignmentLoss).parameters.values()
    assert [(p.name, p.default) for p in init] == [
        ("loss_weight", 1.0),
        ("anneal_to", 1.0),
    ]
    forward = inspect.signature(FeatureAlignmentLoss().forward).parameters.values()
    required = inspect.Parameter.empty
    assert [(p.name, p.default) for p in forward] == [
        ("s_feat", required),
        ("t_feat", required),
        ("progress", None),
    ]


def test_built_from_registry():
    loss = MODELS.build(dict(type="pckd_mm.FeatureAlignmentLoss", loss_weight=20.0))
    assert isinstance(loss, FeatureAlignmentLoss)
    assert loss.loss_weight == 20.0
    assert not list(loss.parameters())
