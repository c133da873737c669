"""What mixed precision computes in."""

import torch

__all__ = ["autocast_dtype"]


def autocast_dtype(is_detector: bool = False) -> torch.dtype:
    """The number type of ``--amp`` on this machine.

    Args:
        is_detector (bool): Whether for one of mmdet's, whose operators in mmcv have
            kernels for float16 on a GPU, and none for bfloat16. Defaults to False.

    Returns:
        torch.dtype: bfloat16; float16 for detectors and on a GPU that could only
        emulate bfloat16.
    """
    if is_detector:
        return torch.float16
    old = torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 0)
    return torch.float16 if old else torch.bfloat16
