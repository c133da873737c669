"""What mixed precision computes in."""

import argparse

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
    "this CPU has no instructions for bfloat16, which would be many times slower "
    f"({AMP_OPTIONS['force']} insists)"
)


def has_fast_bfloat16() -> bool:
    """Whether this CPU has instructions for convolutions in bfloat16.

    Without them, as on CPUs with AVX2 and no AVX-512, they take many times as long as
    in float32.

    Returns:
        bool: What torch's oneDNN says; True where torch does not tell.
    """
    try:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    except (AttributeError, RuntimeError):  # of another build
        return True


def autocast_dtype(is_detector: bool = False, force: bool = False) -> torch.dtype:
    """The number type of ``--amp`` on this machine.

    Args:
        is_detector (bool): Whether for one of mmdet's, whose operators in mmcv have
            kernels for float16 on a GPU, and none for bfloat16. Defaults to False.
        force (bool): Whether bfloat16 is insisted on where it is slow. Defaults to
            False.

    Returns:
        torch.dtype: bfloat16; float16 for detectors and on a GPU that could only
        emulate bfloat16; float32 on a CPU that could only emulate it.
    """
    if is_detector:
        return torch.float16
    if torch.cuda.is_available():
        old = torch.cuda.get_device_capability() < (8, 0)
        return torch.float16 if old else torch.bfloat16
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
