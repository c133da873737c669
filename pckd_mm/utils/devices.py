"""Tensors on their way to a device."""

import torch
from torch import Tensor

__all__ = ["send"]


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device, without a wait for what the device has to do before.

    Args:
        tensor (Tensor): What to send, of any shape.
        device (torch.device): Where to.

    Returns:
        Tensor: The copy, or the tensor itself where it is there.
    """
    if device.type == "cuda" and not tensor.is_cuda:
        tensor = tensor.pin_memory()  # else the copy may wait after all
    return tensor.to(device, non_blocking=True)
