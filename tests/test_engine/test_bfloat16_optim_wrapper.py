"""BFloat16OptimWrapper: mixed precision on a CPU."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from pckd_mm.engine import BFloat16OptimWrapper, bfloat16_optim_wrapper


def test_forward_in_bfloat16_parameters_in_float32(monkeypatch):
    monkeypatch.setattr(bfloat16_optim_wrapper, "has_fast_bfloat16", lambda: True)
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


@pytest.mark.parametrize(
    "fast, force, dtype, words",
    [
        (True, False, torch.bfloat16, "bfloat16"),
        (True, True, torch.bfloat16, "bfloat16"),
        (False, True, torch.bfloat16, "bfloat16, slow on this CPU"),
        (False, False, torch.float32, "float32, since this CPU has no instructions"),
    ],
)
def test_a_cpu_without_bfloat16_stays_in_float32(
    fast, force, dtype, words, monkeypatch
):
    monkeypatch.setattr(bfloat16_optim_wrapper, "has_fast_bfloat16", lambda: fast)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    wrapper = BFloat16OptimWrapper(optimizer=optimizer, force=force)
    with wrapper.optim_context(model):
        assert model(torch.ones(4, 3)).dtype == dtype
    assert wrapper.precision("cpu").startswith(words)
    assert wrapper.precision("cuda") == "bfloat16"
