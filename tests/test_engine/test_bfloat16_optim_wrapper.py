"""BFloat16OptimWrapper: mixed precision on a CPU."""

import torch
from mmengine.optim import build_optim_wrapper
from torch import nn


def test_forward_in_bfloat16_parameters_in_float32():
    model = nn.Linear(3, 2)
    wrapper = build_optim_wrapper(
        model,
        dict(
            type="pckd_mm.BFloat16OptimWrapper",
            optimizer=dict(type="SGD", lr=0.1),
            accumulative_counts=2,
        ),
    )
    before = model.weight.detach().clone()
    for _ in range(2):
        with wrapper.optim_context(model):
            output = model(torch.ones(4, 3))
            assert output.dtype == torch.bfloat16
        assert torch.equal(model.weight, before)
        wrapper.update_params(output.float().sum())
    # Two halves of a sum over 4 rows of ones: gradient 4.
    torch.testing.assert_close(model.weight, before - 0.1 * 4)
