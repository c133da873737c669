"""Gradients of losses, against what calculus says."""

import math

import pytest
import torch

from pckd_mm.utils.gradients import compare_gradients


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
    pulls = compare_gradients(losses, [one, two], "square")
    assert {name: float(pull.norm) for name, pull in pulls.items()} == pytest.approx(
        dict(square=math.sqrt(4 + 16 + 36), linear=3.0, constant=0.0, elsewhere=0.0)
    )
    # (2, 4, 6) and (0, 0, 3): 18 over the product of their lengths.
    cosine = 18 / (math.sqrt(56) * 3)
    assert {name: float(pull.cosine) for name, pull in pulls.items()} == pytest.approx(
        dict(square=1.0, linear=cosine, constant=0.0, elsewhere=0.0)
    )
    alone = compare_gradients(losses, [one, two], "nothing")
    assert alone["linear"].norm == 3 and alone["linear"].cosine == 0
    # What was there stays, and the graph can still be walked.
    assert one.grad.tolist() == [7.0, 7.0]
    losses["square"].backward()
    assert one.grad.tolist() == [9.0, 11.0]


def test_small_gradients_in_float16():
    weight = torch.ones(4, dtype=torch.float16, requires_grad=True)
    loss = (weight * 2.0**-14).float().sum() * 2.0**-12
    assert compare_gradients(dict(loss=loss), [weight], "loss")["loss"].norm == 0
    scaled = compare_gradients(dict(loss=loss), [weight], "loss", scale=2.0**14)
    assert scaled["loss"].norm == 2 * 2.0**-26 and scaled["loss"].cosine == 1
