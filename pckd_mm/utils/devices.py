"""Tensors on their way to a device, and the room that there is."""

import os
from typing import Optional

import torch
from torch import Tensor

__all__ = ["free_memory", "send"]


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


def free_memory(device: torch.device) -> Optional[int]:
    """Memory that can still be had.

    Args:
        device (torch.device): A GPU, or the CPU.

    Returns:
        int, optional: Bytes; None where the system does not say.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    try:
        # All there is: the pages that are free leave out what caches would give back.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
