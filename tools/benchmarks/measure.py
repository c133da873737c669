"""Time and peak memory of a function, on the CPU or a GPU."""

import gc
import sys
import time
from typing import Callable

import torch

MIB = 2**20


def say(progress: str) -> None:
    """Tell the user how far it is, apart from the results."""
    print(progress, file=sys.stderr, flush=True)


def seconds(function: Callable[[], object], device: str) -> float:
    """Wall time of one call.

    Args:
        function (Callable): What is timed.
        device (str): Where it works, such as 'cpu' or 'cuda'.

    Returns:
        float: Seconds.
    """
    _synchronize(device)
    start = time.perf_counter()
    function()
    _synchronize(device)
    return time.perf_counter() - start


def _synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def reset_peak(device: str) -> None:
    """Forget the peak of memory so far."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        return
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # proc(5): sets the peak of resident memory to the present


def peak_mib(device: str) -> float:
    """Peak of memory since :func:`reset_peak`, in MiB.

    On a GPU of its tensors, on the CPU of the whole process.
    """
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / MIB
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
