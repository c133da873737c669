"""Time and peak memory of a function, on the CPU or a GPU."""

import ctypes
import gc
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional

import torch

from pckd_mm.experiments.facts import hardware
from pckd_mm.utils.commits import commit

MIB = 2**20


def say(progress: str) -> None:
    """Tell the user how far it is, apart from the results."""
    print(progress, file=sys.stderr, flush=True)


def made_by() -> Dict[str, Optional[str]]:
    """What measured values are of: device, commit and torch."""
    return dict(
        device=hardware(),
        commit=commit(Path(__file__).resolve().parents[2]),
        torch=torch.__version__,
    )


def peak_of(make: Callable[[], Callable[[], object]], device: str) -> float:
    """Peak of memory over two steps, in MiB above the process that will make them.

    Args:
        make (Callable): Builds a program and gives its step.
        device (str): Where it works.

    Returns:
        float: MiB, after a first step.
    """
    if device.startswith("cuda"):
        torch.cuda.init()
    before = resident_mib(device)
    step = make()
    step()
    reset_peak(device)
    for _ in range(2):
        step()
    return peak_mib(device) - before


def peaks_of_all(names: Iterable[str]) -> Dict[str, float]:
    """Peaks of memory, each in a process of its own, which has no memory of another.

    Args:
        names (Iterable[str]): What the program of this process measures and prints the
            peak of, called with ``--peak-of NAME`` behind its own command line.

    Returns:
        dict[str, float]: By name, in MiB.
    """
    peaks, names = {}, list(names)
    for number, name in enumerate(names, 1):
        say(f"memory of {name}, {number} of {len(names)}")
        command = [sys.executable, *sys.argv, "--peak-of", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        peaks[name] = round(float(done.stdout.split()[-1]), 1)
    return peaks


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


def resident_mib(device: str) -> float:
    """What the process has at the moment, in MiB: a floor for :func:`peak_mib`."""
    if device.startswith("cuda"):
        return torch.cuda.memory_allocated() / MIB
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def memory_as_by_default() -> None:
    """Undo :func:`pckd_mm.utils.cpu_memory.keep_freed_memory`.

    glibc raises its thresholds by itself, up to these, as large blocks are freed; once
    they were set, it does not do so any more.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-3, 2**25)  # from which size on a block is a mapping of its own
        mallopt(-1, 2**26)  # how much may lie free at the end of the heap


def matrix_rate(device: str, dtype: torch.dtype) -> float:
    """Operations of products of large matrices in a second, multiply and add.

    In the precision that convolutions take, which on a GPU is TF32 for float32 unless
    torch is told otherwise.
    """
    # Large and many enough on a GPU that launching them does not count.
    size, products = (8192, 8) if device.startswith("cuda") else (2048, 1)
    left, right = torch.randn(2, size, size, device=device).to(dtype)

    def multiply() -> None:
        for _ in range(products):
            left @ right

    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    times = [seconds(multiply, device) for _ in range(6)]
    torch.backends.cuda.matmul.allow_tf32 = before
    return products * 2 * size**3 / statistics.median(times[1:])


class Stopwatch:
    """Where the time of a step goes, from one mark to the next.

    On a GPU the marks are events in its stream: nothing waits for them.

    Args:
        device (str): Where the step works, such as 'cpu' or 'cuda'.
    """

    def __init__(self, device: str) -> None:
        self.on_gpu = device.startswith("cuda")
        self.marks: List[tuple] = []

    def mark(self, part: str) -> None:
        """End a part, which began where the one before ended; '' ends none."""
        now: Any
        if self.on_gpu:
            now = torch.cuda.Event(enable_timing=True)
            now.record()
        else:
            now = time.perf_counter()
        self.marks.append((part, now))

    def parts(self) -> Dict[str, float]:
        """Seconds of each part in all, and forget them."""
        _synchronize("cuda" if self.on_gpu else "cpu")
        total: Dict[str, float] = defaultdict(float)
        for (_, start), (part, end) in zip(self.marks, self.marks[1:], strict=False):
            if part:
                taken = start.elapsed_time(end) / 1000 if self.on_gpu else end - start
                total[part] += taken
        self.marks.clear()
        return dict(total)
