"""Category alignment, against the loops of tests.reference and by hand."""

import inspect
import random

import pytest
import torch

from pckd_mm.models.losses import CategoryAlignmentLoss, category_alignment
from pckd_mm.registry import MODELS
from tests import reference
from tests.builders import in_processes
from tests.reference import assert_near, assert_same, value_and_gradients

SIZES = {
    "usual": (7, 5),
    "one class": (1, 4),
    "width one": (6, 1),
    **{
        f"random {seed}": tuple(random.Random(seed).randint(1, 20) for _ in range(2))
        for seed in range(4)
    },
}


def make_inputs(classes, width, dtype=torch.float64):
    """Centers and biases, in the order of the arguments."""
    torch.manual_seed(classes + 100 * width)
    return (
        torch.randn(classes, width).to(dtype),
        torch.randn(classes, width).to(dtype),
        torch.randn(classes).to(dtype),
        torch.randn(classes).to(dtype),
    )


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)]
)
def test_value_and_gradients(size, dtype, tolerance):
    inputs = make_inputs(*size, dtype=dtype)
    assert_same(
        CategoryAlignmentLoss(), reference.category_alignment, inputs, tolerance
    )
    assert_same(
        CategoryAlignmentLoss(), reference.category_alignment, inputs[:2], tolerance
    )


@pytest.mark.parametrize(
    ("dtype", "gradient_tolerance"), [(torch.bfloat16, 2e-2), (torch.float32, 1e-5)]
)
def test_autocast_computes_in_full_precision(dtype, gradient_tolerance):
    inputs = make_inputs(7, 6, dtype=dtype)
    # As in training, the backward pass is outside.
    loss = torch.autocast("cpu", torch.bfloat16)(CategoryAlignmentLoss())
    assert loss(*inputs).dtype == torch.float32
    assert_same(loss, reference.category_alignment, inputs, 1e-5, gradient_tolerance)


def test_extreme_values_in_half_precision():
    s_centers, t_centers, s_bias, t_bias = (
        (1e4 * x.clamp(-3, 3)).half() for x in make_inputs(4, 6)
    )
    inputs = s_centers, t_centers, s_bias, t_bias
    assert_same(
        CategoryAlignmentLoss(), reference.category_alignment, inputs, 1e-5, 1e-2
    )


def test_by_hand():
    loss = CategoryAlignmentLoss()
    s_centers, t_centers = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.zeros(2, 2)
    assert float(loss(s_centers, t_centers)) == pytest.approx(30 / 4)
    # The bias is a third column: 6 entries, not the sum of two means.
    s_bias, t_bias = torch.tensor([1.0, -1.0]), torch.tensor([0.0, 1.0])
    biased = loss(s_centers, t_centers, s_bias, t_bias)
    assert float(biased) == pytest.approx((30 + 1 + 4) / 6)
    assert float(loss(s_centers, s_centers, s_bias, s_bias)) == 0


def test_only_the_student_gets_gradient():
    _, gradients = value_and_gradients(CategoryAlignmentLoss(), *make_inputs(4, 5))
    s_centers, t_centers, s_bias, t_bias = gradients
    assert s_centers.any() and s_bias.any()
    assert t_centers is None and t_bias is None


def test_loss_weight():
    inputs = make_inputs(4, 5)
    value, (gradient, *_) = value_and_gradients(CategoryAlignmentLoss(), *inputs)
    scaled, (scaled_gradient, *_) = value_and_gradients(
        CategoryAlignmentLoss(loss_weight=3.0), *inputs
    )
    assert_near(scaled, 3 * value, 1e-12)
    assert_near(scaled_gradient, 3 * gradient, 1e-12)
    assert_near(category_alignment(*inputs), value, 1e-12)


def test_unequal_shapes_are_an_error():
    with pytest.raises(ValueError, match=r"\(8, 3\).*\(8, 5\)"):
        CategoryAlignmentLoss()(torch.ones(8, 3), torch.ones(8, 5))
    with pytest.raises(ValueError, match=r"\(1, 5\).*\(8, 5\)"):
        CategoryAlignmentLoss()(torch.ones(1, 5), torch.ones(8, 5))


def test_bias_on_one_side_is_an_error():
    centers, bias = torch.ones(3, 2), torch.ones(3)
    with pytest.raises(ValueError, match="no bias of the teacher"):
        CategoryAlignmentLoss()(centers, centers, s_bias=bias)
    with pytest.raises(ValueError, match="no bias of the student"):
        CategoryAlignmentLoss()(centers, centers, t_bias=bias)


def plain_gram(s_centers, t_centers, *_):
    """Mean of (cos(W_s,c, W_s,d) - cos(W_t,c, W_t,d))^2 over all c and d."""
    s_centers, t_centers = s_centers.double(), t_centers.detach().double()
    classes = range(len(s_centers))
    return reference.mean(
        [
            (
                reference.cosine(s_centers[c], s_centers[d])
                - reference.cosine(t_centers[c], t_centers[d])
            )
            ** 2
            for c in classes
            for d in classes
        ]
    )


class TestGram:
    LOSS = CategoryAlignmentLoss(form="gram")

    @pytest.mark.parametrize("size", [(7, 5, 3), (4, 2, 9), (20, 6, 6), (2, 3, 3)])
    @pytest.mark.parametrize(
        ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)]
    )
    def test_value_and_gradients(self, size, dtype, tolerance):
        classes, s_width, t_width = size
        s_centers, _, s_bias, t_bias = make_inputs(classes, s_width, dtype)
        _, t_centers, *_ = make_inputs(classes, t_width, dtype)
        assert_same(self.LOSS, plain_gram, (s_centers, t_centers), tolerance)
        inputs = (s_centers, t_centers, s_bias, t_bias)  # which have no part in it
        assert_same(self.LOSS, plain_gram, inputs, tolerance)

    def test_by_hand(self):
        # Cosines 0 of the student's two centers, 0.6 of the teacher's.
        s_centers = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
        t_centers = torch.tensor([[5.0, 0.0, 0.0], [3.0, 0.0, 4.0]])
        found = self.LOSS(s_centers, t_centers)
        assert float(found) == pytest.approx(2 * 0.36 / 4)

    def test_neither_lengths_nor_a_turn_of_the_centers_count(self):
        centers, *_ = make_inputs(5, 3)
        turn, _ = torch.linalg.qr(torch.arange(9.0).double().view(3, 3).exp())
        found = self.LOSS(centers, 7 * centers @ turn)
        assert float(found) == pytest.approx(0, abs=1e-12)

    def test_a_center_of_zeros(self):
        s_centers, t_centers, *_ = make_inputs(5, 3)
        s_centers[1] = 0
        assert_same(self.LOSS, plain_gram, (s_centers, t_centers), 1e-9)

    def test_autocast_computes_in_full_precision(self):
        inputs = make_inputs(7, 6, dtype=torch.bfloat16)
        loss = torch.autocast("cpu", torch.bfloat16)(self.LOSS)
        assert loss(*inputs).dtype == torch.float32
        assert_same(loss, plain_gram, inputs, 1e-5, 2e-2)

    def test_only_the_student_gets_gradient(self):
        _, gradients = value_and_gradients(self.LOSS, *make_inputs(4, 5))
        assert gradients[0].any() and gradients[1] is None

    def test_other_categories_are_an_error(self):
        with pytest.raises(ValueError, match="found 8 centers .* and 7 of the teacher"):
            self.LOSS(torch.ones(8, 3), torch.ones(7, 3))

    def test_loss_weight(self):
        inputs = make_inputs(4, 5)
        scaled = CategoryAlignmentLoss(loss_weight=3.0, form="gram")(*inputs)
        assert_near(scaled, 3 * self.LOSS(*inputs), 1e-12)


def test_another_form_is_an_error():
    with pytest.raises(ValueError, match="form='angles'; expected 'entries'"):
        CategoryAlignmentLoss(form="angles")


def test_signature_and_defaults():
    init = inspect.signature(CategoryAlignmentLoss).parameters.values()
    assert [(p.name, p.default) for p in init] == [
        ("loss_weight", 1.0),
        ("form", "entries"),
    ]
    forward = inspect.signature(CategoryAlignmentLoss().forward).parameters.values()
    required = inspect.Parameter.empty
    assert [(p.name, p.default) for p in forward] == [
        ("s_centers", required),
        ("t_centers", required),
        ("s_bias", None),
        ("t_bias", None),
        ("group", None),
    ]


def test_built_from_registry():
    loss = MODELS.build(dict(type="pckd_mm.CategoryAlignmentLoss", loss_weight=2.0))
    assert isinstance(loss, CategoryAlignmentLoss)
    assert loss.loss_weight == 2.0
    assert not list(loss.parameters())


@pytest.mark.parametrize("form", ["entries", "gram"])
def test_mean_over_instances_of_their_own_groups(form):
    torch.manual_seed(0)
    s_sets, t_sets = torch.randn(3, 4, 5), torch.randn(3, 4, 5)
    s_bias, t_bias = torch.randn(3, 4), torch.randn(3, 4)
    loss = CategoryAlignmentLoss(loss_weight=2.0, form=form)
    group = torch.tensor([2, 0, 2, 2])
    found = loss(s_sets, t_sets, s_bias, t_bias, group)
    of_sets = [loss(s_sets[g], t_sets[g], s_bias[g], t_bias[g]) for g in range(3)]
    torch.testing.assert_close(found, (of_sets[0] + 3 * of_sets[2]) / 4)
    # No instance, no loss, and a gradient all the same.
    centers = s_sets.requires_grad_()
    nothing = loss(centers, t_sets, None, None, group[:0])
    nothing.backward()
    assert nothing == 0 and not centers.grad.any()
    with pytest.raises(ValueError, match="found 3 sets of category centers and no"):
        loss(s_sets, t_sets)


def _groups_of_two(rank, folder):
    """Sets whose losses are 1 and 3."""
    centers = torch.tensor([1.0, 3.0]).sqrt()[:, None, None].expand(2, 4, 5)
    group = torch.tensor([[0], [1, 1, 1]][rank])
    found = CategoryAlignmentLoss()(centers, torch.zeros(2, 4, 5), group=group)
    torch.save(float(found), f"{folder}/{rank}.pth")


def test_the_mean_is_over_the_instances_of_all_processes(tmp_path):
    in_processes(2, _groups_of_two, tmp_path, str(tmp_path))
    found = [torch.load(tmp_path / f"{rank}.pth") for rank in (0, 1)]
    # (1 + 3 + 3 + 3) / 4, where a mean of means is 2.
    assert sum(found) / 2 == pytest.approx(2.5)
