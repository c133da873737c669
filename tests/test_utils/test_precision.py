"""What asks for mixed precision, and what it is then."""

import argparse

import pytest
import torch

from pckd_mm.utils import precision
from pckd_mm.utils.precision import add_amp_options, has_fast_bfloat16


def test_the_options_of_mixed_precision():
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    add_amp_options(parser)
    found = [
        parser.parse_args(line.split()).amp
        for line in ("c.py", "c.py --amp", "--amp c.py", "--force-amp c.py")
    ]
    assert found == [None, "auto", "auto", "force"]


def test_what_onednn_says_of_bfloat16(monkeypatch):
    told = torch.ops.mkldnn._is_mkldnn_bf16_supported
    assert has_fast_bfloat16() is told()

    class Other:
        def __getattr__(self, name):
            raise AttributeError(name)

    monkeypatch.setattr(precision.torch.ops, "mkldnn", Other())
    assert has_fast_bfloat16()


@pytest.mark.parametrize("fast, force", [(True, False), (False, True), (False, False)])
def test_the_type_on_a_cpu(fast, force, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda: fast)
    expected = torch.bfloat16 if fast or force else torch.float32
    assert precision.autocast_dtype(force=force) == expected
