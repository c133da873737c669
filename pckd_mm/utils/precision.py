"""What mixed precision computes in."""

import torch

__all__ = ["autocast_dtype", "has_fast_bfloat16"]


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
