"""Difficulty, threshold and weight of the preview strategy, by hand."""

import math

import pytest
import torch

from pckd_mm.models.task_modules import CurriculumStrategy, PreviewStrategy
from pckd_mm.registry import TASK_UTILS
from tests import reference
from tests.reference import assert_near

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(1, 1.005), (60, 1.35), (100, 1.65), (150, 2.11), (240, 3.31)],
)
def test_thresholds(epoch, expected):
    threshold = PreviewStrategy().threshold(epoch / 240)
    assert threshold == pytest.approx(expected, abs=0.005)
    assert threshold == pytest.approx(math.prod([1.005] * epoch), rel=1e-12)


def test_short_run_sweeps_the_same_thresholds():
    preview = PreviewStrategy()
    for epoch in range(1, 13):
        expected = math.prod([1.005] * (20 * epoch))
        assert preview.threshold(epoch / 12) == pytest.approx(expected, rel=1e-12)


def test_other_growth():
    preview = PreviewStrategy(growth=1.1, reference_epochs=10)
    assert preview.threshold(0.2) == pytest.approx(1.21)
    assert preview.threshold(1) == pytest.approx(1.1**10)


@pytest.mark.parametrize("progress", [0, 0.0, -1, -1e-9, 1.0001, 1.5, NAN])
def test_progress_out_of_range(progress):
    preview = PreviewStrategy()
    with pytest.raises(ValueError, match=r"Training progress is .*\(0, 1\]"):
        preview.threshold(progress)
    with pytest.raises(ValueError, match="Training progress"):
        preview.weight(torch.ones(2), progress)


@pytest.mark.parametrize("kwargs", [{"growth": 0}, {"reference_epochs": -1}])
def test_impossible_arguments(kwargs):
    with pytest.raises(ValueError, match="expected both above 0"):
        PreviewStrategy(**kwargs)


def test_hard_image_by_hand():
    # The mean is 2, so the last one has difficulty 2, above the threshold of 1.005.
    losses = torch.tensor([1.0, 2.0, 1.0, 4.0], dtype=torch.float64)
    preview = PreviewStrategy()
    assert_near(preview.difficulty(losses), [0.5, 1.0, 0.5, 2.0], 1e-15)
    assert_near(preview.weight(losses, 1 / 240), [1.0, 1.0, 1.0, math.exp(-4)], 1e-12)
    # At the end of the training the threshold is 3.31.
    assert preview.weight(losses, 1.0).tolist() == [1, 1, 1, 1]


def test_boundary_counts_in_full():
    # growth 1: the threshold is 1, the difficulty of images that are all the same.
    preview = PreviewStrategy(growth=1.0)
    assert preview.weight(torch.full((4,), 0.7), 0.5).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("seed", range(5))
def test_against_the_reference(seed):
    generator = torch.Generator().manual_seed(seed)
    losses = torch.rand(9, generator=generator, dtype=torch.float64).pow(3)
    epoch = 7 * (seed + 1)
    found = PreviewStrategy().weight(losses, epoch / 40)
    assert_near(found, reference.preview_weights(losses, epoch, 40), 1e-12)


def test_no_gradient():
    losses = torch.rand(4, requires_grad=True)
    preview = PreviewStrategy()
    assert not preview.weight(2 * losses, 0.5).requires_grad
    assert not preview.difficulty(2 * losses).requires_grad


def test_input_stays():
    losses = torch.tensor([1.0, NAN, 3.0])
    before = losses.clone()
    PreviewStrategy().weight(losses, 0.5)
    assert torch.equal(losses, before) or losses.nan_to_num(7.0).equal(
        before.nan_to_num(7.0)
    )


def test_single_image():
    preview = PreviewStrategy()
    assert preview.difficulty(torch.tensor([0.3])).tolist() == [1]
    assert preview.weight(torch.tensor([0.3]), 1 / 240).tolist() == [1]


def test_mean_of_zero():
    preview = PreviewStrategy()
    assert preview.difficulty(torch.zeros(3)).tolist() == [1, 1, 1]
    assert preview.weight(torch.zeros(3), 1 / 240).tolist() == [1, 1, 1]


@pytest.mark.parametrize("bad", [NAN, INF])
def test_losses_that_are_not_finite(bad):
    # The mean of the others is 2.
    losses = torch.tensor([1.0, bad, 2.0, 3.0, bad])
    preview = PreviewStrategy()
    assert_near(
        preview.difficulty(losses)[[0, 2, 3]], torch.tensor([0.5, 1.0, 1.5]), 1e-6
    )
    assert preview.difficulty(losses)[[1, 4]].tolist() == [INF, INF]
    expected = torch.tensor([1.0, 0.0, 1.0, math.exp(-2.25), 0.0])
    assert_near(preview.weight(losses, 1 / 240), expected, 1e-6)


@pytest.mark.parametrize("losses", [[NAN], [INF, NAN], [NAN, NAN]])
def test_no_finite_loss_at_all(losses):
    weight = PreviewStrategy().weight(torch.tensor(losses), 1.0)
    assert weight.tolist() == [0] * len(losses)


def test_zero_beside_a_loss_that_is_not_finite():
    weight = PreviewStrategy().weight(torch.tensor([0.0, INF, 0.0]), 0.5)
    assert weight.tolist() == [1, 0, 1]


@pytest.mark.parametrize("scale", [1e38, 1e-30])
def test_huge_and_tiny_losses(scale):
    # The sum of the huge ones is above the largest float32.
    losses = scale * torch.tensor([1.0, 1.0, 3.0, 3.0])
    preview = PreviewStrategy()
    assert_near(preview.difficulty(losses), torch.tensor([0.5, 0.5, 1.5, 1.5]), 1e-5)
    expected = torch.tensor([1.0, 1.0, math.exp(-2.25), math.exp(-2.25)])
    assert_near(preview.weight(losses, 1 / 240), expected, 1e-5)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_inputs(half):
    # In float16 the sum of these would be infinite.
    losses = torch.tensor([1.0, 2.0, 1.0, 4.0]).to(half) * 2**13
    weight = PreviewStrategy().weight(losses, 1 / 240)
    assert weight.dtype == torch.float32
    assert_near(weight, torch.tensor([1.0, 1.0, 1.0, math.exp(-4)]), 1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_precision_stays(dtype):
    weight = PreviewStrategy().weight(torch.ones(2, dtype=dtype), 0.5)
    assert weight.dtype == dtype


def test_built_from_registry():
    preview = TASK_UTILS.build(dict(type="pckd_mm.PreviewStrategy"))
    assert isinstance(preview, PreviewStrategy)
    assert (preview.growth, preview.reference_epochs) == (1.005, 240)


def test_curriculum_drops_hard_images():
    losses = torch.tensor([1.0, 2.0, 1.0, 4.0, INF], dtype=torch.float64)
    curriculum = CurriculumStrategy()
    assert curriculum.weight(losses, 1 / 240).tolist() == [1, 1, 1, 0, 0]
    assert curriculum.weight(losses, 1.0).tolist() == [1, 1, 1, 1, 0]
    assert curriculum.threshold(1 / 240) == PreviewStrategy().threshold(1 / 240)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("strategy", [PreviewStrategy, CurriculumStrategy])
def test_extreme_losses(strategy, dtype):
    # By hand: difficulties, and whether they are above 1.005.
    cases = [
        ([0.0, 0.0, 0.0], [1, 1, 1]),
        ([0.0, 1e4, 0.0, 0.0], [0, 4, 0, 0]),
        ([6e4] * 4, [1] * 4),  # the sum would be more than float16 holds
        ([6e4, 2e4], [1.5, 0.5]),
        ([6e-8, 0.0], [2, 0]),  # the least number above zero of float16
        ([0.0, INF], [1, INF]),
        ([INF, NAN], [INF, INF]),
    ]
    preview = strategy()
    for losses, expected in cases:
        losses = torch.tensor(losses).to(dtype)
        with torch.autocast("cpu", torch.bfloat16):
            difficulty = preview.difficulty(losses)
            weight = preview.weight(losses, 1 / 240)
        assert difficulty.dtype == weight.dtype == torch.float32
        assert difficulty.tolist() == pytest.approx(expected, rel=5e-3)
        of_hard = 1.0 if strategy is PreviewStrategy else 0.0
        for v, gamma in zip(weight.tolist(), expected, strict=True):
            wanted = 1 if gamma <= 1 else of_hard * math.exp(-(gamma**2))
            assert v == pytest.approx(wanted, rel=0.05)


def test_one_hard_image_of_very_many():
    # Its difficulty is their number, the square of which float16 does not hold.
    losses = torch.zeros(70000)
    losses[3] = 1e4
    preview = PreviewStrategy()
    assert float(preview.difficulty(losses)[3]) == pytest.approx(70000)
    weight = preview.weight(losses, 1.0)
    assert float(weight[3]) == 0
    assert int(weight.sum()) == 69999
