"""Weights of the focal loss, by hand."""

import math

import pytest
import torch

from pckd_mm.models.task_modules import FocalStrategy
from tests.reference import assert_near


def test_weights_by_hand():
    # The right category's probability is 1/2, 1/10 and 1.
    losses = torch.tensor([math.log(2), math.log(10), 0.0], dtype=torch.float64)
    weight = FocalStrategy().weight(losses, 0.5)
    assert_near(weight, [0.25, 0.81, 0.0], 1e-12)
    assert_near(FocalStrategy(gamma=1).weight(losses, 0.5), [0.5, 0.9, 0.0], 1e-12)
    assert FocalStrategy(gamma=0).weight(losses, 1.0).tolist() == [1, 1, 1]


def test_harder_images_count_more():
    losses = torch.linspace(0.01, 8, 20)
    weight = FocalStrategy().weight(losses, 0.5)
    assert (weight.diff() > 0).all() and (weight < 1).all()


def test_safe_in_any_precision():
    losses = torch.tensor([1e-9, math.inf, math.nan, 1e4], requires_grad=True)
    weight = FocalStrategy().weight(losses, 0.5)
    assert not weight.requires_grad
    assert weight.tolist() == [pytest.approx(1e-18), 0, 0, 1]
    half = FocalStrategy().weight(losses.detach().bfloat16(), 0.5)
    assert half.dtype == torch.float32 and half.isfinite().all()


def test_negative_gamma():
    with pytest.raises(ValueError, match="gamma=-1; expected 0 or more"):
        FocalStrategy(gamma=-1)
