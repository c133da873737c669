"""Fused optimizers go on from what others left, and the other way round."""

import copy

import pytest
import torch
from torch import nn

from pckd_mm.utils.fused_optimizer import restore_kernel, use_fused_kernel


def has_fused_kernel() -> bool:
    try:
        torch.optim.SGD([torch.zeros(1)], lr=0.1, fused=True)
    except (RuntimeError, TypeError):
        return False
    return True


needs_fused = pytest.mark.skipif(
    not has_fused_kernel(), reason="this torch has no fused kernels on the CPU"
)


def steps(optimizer, parameter) -> torch.Tensor:
    for _ in range(3):
        parameter.grad = parameter.detach().sin()
        optimizer.step()
    return parameter.detach()


def sgd(parameter):
    return torch.optim.SGD([parameter], 0.1, 0.9, weight_decay=5e-4)


def adamw(parameter):
    return torch.optim.AdamW([parameter], 0.1)


@needs_fused
@pytest.mark.parametrize("make", [sgd, adamw])
def test_a_fused_optimizer_goes_on_from_a_checkpoint(make):
    # Of a run without the option, whose weights lay in another layout.
    found = []
    for fused in (False, True):
        generator = torch.Generator().manual_seed(0)
        parameter = nn.Parameter(torch.randn(4, 3, 3, 3, generator=generator))
        before = make(parameter)
        steps(before, parameter)
        parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        optimizer = make(parameter)
        optimizer.load_state_dict(copy.deepcopy(before.state_dict()))
        if fused:
            restore_kernel(optimizer)
            assert use_fused_kernel(optimizer, parameter.device)
            assert optimizer.param_groups[0]["fused"]
            assert optimizer._step_supports_amp_scaling
        found.append(steps(optimizer, parameter))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


def test_optimizers_without_a_fused_kernel_stay():
    parameter = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.RMSprop([parameter], 0.1)
    groups = copy.deepcopy(optimizer.param_groups)
    assert not use_fused_kernel(optimizer, parameter.device)
    assert optimizer.param_groups[0].keys() == groups[0].keys()
