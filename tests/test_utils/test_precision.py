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


class OneDNN:
    """What torch's oneDNN says of bfloat16; None is a build that does not tell."""

    def __init__(self, says) -> None:
        self.says = says

    def _is_mkldnn_bf16_supported(self) -> bool:
        if self.says is None:
            raise AttributeError("_is_mkldnn_bf16_supported")
        return self.says


OLD, SERVER, NEW = "avx2", "avx2 avx512f avx512_vnni", "avx2 avx512f avx512_bf16"


@pytest.mark.parametrize(
    "says, flags, most, expected",
    [
        (False, OLD, None, False),
        # oneDNN says so of every CPU with AVX-512.
        (True, SERVER, None, False),
        (True, NEW, None, True),
        (True, "avx512f amx_bf16 amx_tile", None, True),
        (True, NEW, "AVX512_CORE", False),
        (True, NEW, "avx512_core_vnni", False),
        (True, NEW, "AVX512_CORE_BF16", True),
        (True, NEW, "ALL", True),
        (False, NEW, "AVX2", False),
        (True, None, None, True),  # not of x86, or not Linux
        (None, NEW, None, True),
    ],
)
@pytest.mark.parametrize("variable", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
def test_instructions_for_bfloat16(
    says, flags, most, expected, variable, tmp_path, monkeypatch
):
    info = tmp_path / "cpuinfo"
    line = "Features\t: fp" if flags is None else f"flags\t\t: fpu {flags} ibt"
    info.write_text(f"vendor_id\t: A\nvmx flags\t: avx512_bf16\n{line}\nbugs\t: b\n")
    monkeypatch.setattr(precision, "_CPU_INFO", info)
    monkeypatch.setattr(precision.torch.ops, "mkldnn", OneDNN(says))
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    if most is not None:
        monkeypatch.setenv(variable, most)
    precision._x86_flags.cache_clear()
    try:
        assert has_fast_bfloat16() is expected
        info.unlink()  # it is read once, not in each step
        assert has_fast_bfloat16() is expected
        precision._x86_flags.cache_clear()
        if most is None and says is not None:  # no system that tells
            assert has_fast_bfloat16() is says
    finally:
        precision._x86_flags.cache_clear()


def test_what_this_cpu_says():
    told = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert told or not has_fast_bfloat16()
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    if supported is not None and not supported() and precision._x86_flags():
        assert not has_fast_bfloat16() or "amx_bf16" in precision._x86_flags()


@pytest.mark.parametrize("fast, force", [(True, False), (False, True), (False, False)])
def test_the_type_on_a_cpu(fast, force, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda: fast)
    expected = torch.bfloat16 if fast or force else torch.float32
    assert precision.autocast_dtype(force=force) == expected
