"""Norms of each loss's gradient, against what calculus says."""

import math

import pytest
import torch

from pckd_mm.utils.gradients import gradient_norms


def test_norms_over_all_parameters_together():
    one, two = (torch.tensor(v, requires_grad=True) for v in ([1.0, 2.0], [3.0]))
    one.grad = torch.tensor([7.0, 7.0])
    unused = torch.tensor([5.0], requires_grad=True)
    losses = dict(
        square=one.square().sum() + two.square().sum(),  # gradient 2, 4 and 6
        linear=3 * two.sum(),
        constant=torch.tensor(4.0),
        elsewhere=unused.sum(),
    )
    norms = gradient_norms(losses, [one, two])
    assert {name: float(norm) for name, norm in norms.items()} == pytest.approx(
        dict(square=math.sqrt(4 + 16 + 36), linear=3.0, constant=0.0, elsewhere=0.0)
    )
    # What was there stays, and the graph can still be walked.
    assert one.grad.tolist() == [7.0, 7.0]
    losses["square"].backward()
    assert one.grad.tolist() == [9.0, 11.0]


def test_small_gradients_in_float16():
    weight = torch.ones(4, dtype=torch.float16, requires_grad=True)
    loss = (weight * 2.0**-14).float().sum() * 2.0**-12
    assert gradient_norms(dict(loss=loss), [weight])["loss"] == 0
    scaled = gradient_norms(dict(loss=loss), [weight], scale=2.0**14)["loss"]
    assert scaled == 2 * 2.0**-26
