"""Optimizer wrappers that can leave a step out, where they leave none out."""

import pytest
import torch

from pckd_mm.engine import BFloat16OptimWrapper, SkipStepOptimWrapper
from tests.builders import Point


@pytest.mark.parametrize("kind", [SkipStepOptimWrapper, BFloat16OptimWrapper])
def test_arguments_of_step_and_zero_grad_reach_the_optimizer(kind):
    model, called = Point(), []
    wrapper = kind(optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    wrapper.update_params(
        model(None, mode="loss")["loss"],
        step_kwargs=dict(closure=lambda: called.append("closure")),
        zero_kwargs=dict(set_to_none=False),
    )
    assert called == ["closure"]
    assert model.weight.grad.tolist() == [0.0]  # not None
    assert model.weight.item() == pytest.approx(1 - 0.1 * 2)
