"""Category contrast, against the loops of tests.reference and by hand."""

import inspect
import math
import random
from functools import partial

import pytest
import torch

from pckd_mm.models.losses import CategoryContrastiveLoss, category_contrast
from pckd_mm.models.losses import category_contrastive_loss as module
from pckd_mm.registry import MODELS
from tests import reference
from tests.reference import assert_near, assert_same, value_and_gradients

# Images, views, classes, width of the student, width of the teacher.
SIZES = {
    "usual": (5, 4, 7, 6, 5),
    "one image": (1, 4, 3, 4, 8),
    "one view": (6, 1, 3, 5, 5),
    "one row": (1, 1, 3, 5, 5),
    "one class": (3, 2, 1, 4, 6),
    "width one": (3, 2, 4, 1, 2),
    **{
        f"random {seed}": tuple(random.Random(seed).randint(1, 6) for _ in range(5))
        for seed in range(4)
    },
}


def make_inputs(images, views, classes, s_width, t_width, dtype=torch.float64):
    """Embeddings, centers, labels and weights, in the order of the arguments."""
    torch.manual_seed(images + 10 * views + 100 * classes)
    rows = images * views
    s_embed, t_embed = torch.randn(rows, s_width), torch.randn(rows, t_width)
    return (
        (s_embed / s_embed.norm(dim=1, keepdim=True)).to(dtype),
        (t_embed / t_embed.norm(dim=1, keepdim=True)).to(dtype),
        (2 * torch.randn(classes, s_width)).to(dtype),
        (2 * torch.randn(classes, t_width)).to(dtype),
        torch.randint(classes, (images,)),
        torch.rand(images).to(dtype),
    )


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)]
)
def test_value_and_gradients(size, dtype, tolerance):
    inputs = make_inputs(*size, dtype=dtype)
    assert_same(
        CategoryContrastiveLoss(), reference.category_contrast, inputs, tolerance
    )
    assert_same(
        CategoryContrastiveLoss(), reference.category_contrast, inputs[:-1], tolerance
    )


def test_all_images_of_one_class():
    inputs = list(make_inputs(4, 3, 6, 5, 4))
    inputs[4] = torch.full((4,), 2)
    assert_same(CategoryContrastiveLoss(), reference.category_contrast, inputs, 1e-9)


def test_other_temperatures():
    inputs = make_inputs(3, 2, 4, 5, 6)
    assert_same(
        CategoryContrastiveLoss(tau=0.5, base_tau=0.3),
        partial(reference.category_contrast, tau=0.5, base_tau=0.3),
        inputs,
        1e-9,
    )


def test_zero_embeddings():
    inputs = list(make_inputs(3, 4, 5, 6, 4))
    inputs[0] = torch.zeros_like(inputs[0])
    inputs[1][::2] = 0
    assert_same(CategoryContrastiveLoss(), reference.category_contrast, inputs, 1e-9)


@pytest.mark.parametrize(
    ("dtype", "gradient_tolerance"), [(torch.bfloat16, 2e-2), (torch.float32, 1e-5)]
)
def test_autocast_computes_in_full_precision(dtype, gradient_tolerance):
    inputs = make_inputs(4, 4, 5, 6, 7, dtype=dtype)
    # As in training, the backward pass is outside.
    loss = torch.autocast("cpu", torch.bfloat16)(CategoryContrastiveLoss())
    assert loss(*inputs).dtype == torch.float32
    assert_same(loss, reference.category_contrast, inputs, 1e-5, gradient_tolerance)


def test_extreme_values_in_half_precision():
    inputs = list(make_inputs(3, 2, 4, 5, 5, dtype=torch.float16))
    inputs[2:4] = [1e4 * centers.clamp(-6, 6) for centers in inputs[2:4]]
    value, gradients = value_and_gradients(CategoryContrastiveLoss(), *inputs)
    assert value.isfinite()
    for index in (0, 1):
        assert not gradients[index].isnan().any()


def test_two_classes_by_hand():
    # Both banks of image 0 are (2, 0), those of image 1 (0, 2): each anchor has one
    # positive of logit 4 / 4 and two negatives of logit 0.
    embed, centers = torch.eye(2), 2 * torch.eye(2)
    loss = CategoryContrastiveLoss()(
        embed, embed, centers, centers, torch.tensor([0, 1])
    )
    expected = 2 * (4 / 0.07) * (math.log(math.e + 2) - 1)
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    assert expected == pytest.approx(63.02, abs=0.01)


def test_rows_are_sample_major_by_hand():
    # Rows 0, 1 are the views of image 0. With labels per image read in another order
    # the positives would be the dissimilar rows and the loss larger.
    embed = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    centers = 2 * torch.eye(2)
    loss = CategoryContrastiveLoss()(
        embed, embed, centers, centers, torch.tensor([0, 1])
    )
    expected = 2 * (4 / 0.07) * (math.log(3 * math.e + 4) - 1)
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_equal_anchors_by_hand():
    # Without any difference between the 2N rows the loss is that of guessing.
    embed, centers = torch.zeros(6, 3), torch.ones(4, 3)
    loss = CategoryContrastiveLoss()(
        embed, embed, centers, centers, torch.tensor([0, 1])
    )
    assert float(loss) == pytest.approx(2 * (4 / 0.07) * math.log(11), rel=1e-6)


def test_weight_belongs_to_the_image():
    embed, _, centers, _, labels, _ = make_inputs(3, 4, 5, 6, 6)
    args = (embed, embed, centers, centers, labels)
    loss = CategoryContrastiveLoss()
    parts = [float(loss(*args, torch.eye(3, dtype=torch.float64)[i])) for i in range(3)]
    assert sum(parts) == pytest.approx(float(loss(*args)), rel=1e-12)
    weighted = loss(*args, torch.tensor([0.5, 0.0, 2.0], dtype=torch.float64))
    assert float(weighted) == pytest.approx(0.5 * parts[0] + 2 * parts[2], rel=1e-12)


def test_who_gets_gradient():
    inputs = make_inputs(3, 4, 5, 6, 7)
    _, gradients = value_and_gradients(CategoryContrastiveLoss(), *inputs)
    s_embed, t_embed, s_centers, t_centers, labels, weight = gradients
    assert s_embed.any() and t_embed.any() and s_centers.any()
    assert t_centers is None and labels is None and weight is None


def test_loss_weight():
    inputs = make_inputs(2, 4, 5, 6, 7)
    value, (gradient, *_) = value_and_gradients(CategoryContrastiveLoss(), *inputs)
    scaled, (scaled_gradient, *_) = value_and_gradients(
        CategoryContrastiveLoss(loss_weight=0.05), *inputs
    )
    assert_near(scaled, 0.05 * value, 1e-12)
    assert_near(scaled_gradient, 0.05 * gradient, 1e-12)


def test_function_and_module_agree():
    inputs = make_inputs(2, 4, 5, 6, 7)
    assert torch.equal(
        category_contrast(*inputs, tau=2.0, base_tau=0.1),
        CategoryContrastiveLoss(tau=2.0, base_tau=0.1)(*inputs),
    )


@pytest.mark.parametrize("rows", [5, 2])
def test_rows_without_whole_images_are_an_error(rows):
    embed, centers = torch.ones(rows, 2), torch.ones(4, 2)
    labels = torch.zeros(3, dtype=torch.long)
    with pytest.raises(ValueError, match=rf"found {rows} rows for 3 labels"):
        CategoryContrastiveLoss()(embed, embed, centers, centers, labels)


def test_one_weight_for_each_row_is_an_error():
    embed, centers = torch.ones(12, 2), torch.ones(4, 2)
    labels = torch.zeros(3, dtype=torch.long)
    with pytest.raises(ValueError, match=r"\(12,\).*\(3,\)"):
        CategoryContrastiveLoss()(
            embed, embed, centers, centers, labels, torch.ones(12)
        )


def test_signature_and_defaults():
    def defaults(function):
        parameters = list(inspect.signature(function).parameters.values())[1:]
        return [(p.name, p.default) for p in parameters]

    assert defaults(CategoryContrastiveLoss.__init__) == [
        ("tau", 4.0),
        ("base_tau", 0.07),
        ("loss_weight", 1.0),
    ]
    required = inspect.Parameter.empty
    assert defaults(CategoryContrastiveLoss.forward) == [
        ("s_embed", required),
        ("t_embed", required),
        ("s_centers", required),
        ("t_centers", required),
        ("labels", required),
        ("weight", None),
        ("group", None),
    ]


def test_built_from_registry():
    loss = MODELS.build(dict(type="pckd_mm.CategoryContrastiveLoss", tau=2.0))
    assert isinstance(loss, CategoryContrastiveLoss)
    assert (loss.tau, loss.base_tau, loss.loss_weight) == (2.0, 0.07, 1.0)
    assert not list(loss.parameters())


@pytest.mark.parametrize("rows", [1, 3, 7, 40])
def test_blocks_give_the_same(rows, monkeypatch):
    inputs = make_inputs(5, 4, 7, 6, 5)  # 40 anchors
    monkeypatch.setattr(module, "_BLOCK", rows * 40)
    calls = []
    similarity = module._similarity
    monkeypatch.setattr(
        module, "_similarity", lambda *args: calls.append(0) or similarity(*args)
    )
    assert_same(CategoryContrastiveLoss(), reference.category_contrast, inputs, 1e-9)
    # Forward and backward, but a single block is kept.
    assert len(calls) == (1 if rows == 40 else 2 * math.ceil(40 / rows))


def test_memory_grows_with_the_anchors_and_not_with_their_square():
    def kept(anchors):
        """Bytes that the graph keeps for the backward pass, of 8 dimensions."""
        tensors = torch.randn(anchors, 8, requires_grad=True)
        labels = torch.arange(anchors) % 4
        sizes = []

        def pack(tensor):
            sizes.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            module.supervised_contrast(tensors, labels, 4.0, 0.07)
        return sum(sizes)

    # 8 numbers, a label and a total of each anchor, and the factor tau / base_tau.
    assert kept(4096) <= 4096 * (8 * 4 + 8 + 4) + 64


def grouped(rows: int = 5, sets: int = 3, classes: int = 4) -> tuple:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator).double()

    group, labels = torch.tensor([2, 0, 0, 2, 2]), torch.tensor([1, 3, 1, 0, 3])
    tensors = draw(rows, 6), draw(rows, 7), draw(sets, classes, 6)
    return (*tensors, draw(sets, classes, 7)), labels, group


def test_each_row_has_the_centers_of_its_group():
    """All rows are contrasted with each other, each by its own correlations."""
    tensors, labels, group = grouped()
    weight = torch.tensor([1.0, 0.5, 1.0, 0.25, 1.0])
    assert_same(
        lambda *inputs: category_contrast(*inputs, labels, weight, group=group),
        lambda *inputs: reference.category_contrast(
            *inputs, labels, weight, group=group
        ),
        tensors,
        1e-9,
    )


def test_one_group_is_none():
    (s_embed, t_embed, s_sets, t_sets), labels, group = grouped(sets=1)
    one = category_contrast(s_embed, t_embed, s_sets, t_sets, labels, group=group * 0)
    plain = category_contrast(s_embed, t_embed, s_sets[0], t_sets[0], labels)
    torch.testing.assert_close(one, plain)


def test_groups_without_a_row():
    (s_embed, t_embed, *sets), labels, group = grouped()
    centers = sets[0].requires_grad_()
    loss = category_contrast(
        s_embed[:0], t_embed[:0], centers, sets[1], labels[:0], group=group[:0]
    )
    loss.backward()
    assert loss == 0 and not centers.grad.any()


def test_group_is_missing():
    tensors, labels, _ = grouped()
    with pytest.raises(ValueError, match="found 3 sets of category centers and no"):
        category_contrast(*tensors, labels)
