"""What mixed precision computes in."""

import argparse
import functools
import os
from pathlib import Path
from typing import Collection

import torch

__all__ = [
    "AMP_OPTIONS",
    "NO_BFLOAT16",
    "add_amp_options",
    "autocast_dtype",
    "has_fast_bfloat16",
]

# What asks for mixed precision on the command line, by how much it is wanted.
AMP_OPTIONS = {"auto": "--amp", "force": "--force-amp"}
NO_BFLOAT16 = (
    "this CPU has no instructions for bfloat16, which would be slower than float32 "
    f"({AMP_OPTIONS['force']} insists)"
)

_CPU_INFO = Path("/proc/cpuinfo")
# Linux's names of what x86 CPUs have for bfloat16.
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16"}
# Values of ONEDNN_MAX_CPU_ISA that keep oneDNN from them.
_WITHOUT = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2") + (
    "AVX512_CORE",
    "AVX512_CORE_VNNI",
)


def has_fast_bfloat16() -> bool:
    """Whether this CPU has instructions for convolutions in bfloat16.

    Without them convolutions take twice as long as in float32 on CPUs with AVX-512, and
    many times as long on those with AVX2.

    Returns:
        bool: Whether torch's oneDNN can compute in it, and an x86 CPU has the
        instructions, as far as the system tells and ``ONEDNN_MAX_CPU_ISA`` allows; True
        where torch does not tell.
    """
    try:
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return False
    except (AttributeError, RuntimeError):  # of another build
        return True
    # oneDNN computes in it on all CPUs with AVX-512, by conversions if need be.
    if most := os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA")):
        if most.upper() in _WITHOUT:
            return False
    flags = _x86_flags()
    return not flags or not _INSTRUCTIONS.isdisjoint(flags)


@functools.cache
def _x86_flags() -> Collection[str]:
    """What an x86 CPU can do, by Linux's names; empty where there is no telling."""
    try:
        lines = _CPU_INFO.read_text(errors="replace").splitlines()
    except OSError:
        return ()
    return next((x.split() for x in lines if x.partition("\t")[0] == "flags"), ())


def autocast_dtype(is_detector: bool = False, force: bool = False) -> torch.dtype:
    """The number type of ``--amp`` on this machine.

    Args:
        is_detector (bool): Whether for one of mmdet's, whose operators in mmcv have
            kernels for float16 on a GPU, and none for bfloat16. On a CPU they are left
            in float32. Defaults to False.
        force (bool): Whether bfloat16 is insisted on where it is slow. Defaults to
            False.

    Returns:
        torch.dtype: bfloat16; on a GPU float16 for detectors, and where it could only
        emulate bfloat16; float32 on a CPU that could only emulate it.
    """
    if torch.cuda.is_available():
        old = torch.cuda.get_device_capability() < (8, 0)
        return torch.float16 if old or is_detector else torch.bfloat16
    return torch.bfloat16 if force or has_fast_bfloat16() else torch.float32


def add_amp_options(parser: argparse.ArgumentParser) -> None:
    """Add what asks for mixed precision: ``amp`` is then None, "auto" or "force".

    Args:
        parser (ArgumentParser): Of a tool that trains.
    """
    helps = {
        "auto": "mixed precision: bfloat16, or float16 on a GPU without it; a CPU "
        "without instructions for bfloat16 stays in float32",
        "force": "the same, in bfloat16 on every CPU",
    }
    for wanted, option in AMP_OPTIONS.items():
        parser.add_argument(
            option, dest="amp", action="store_const", const=wanted, help=helps[wanted]
        )
