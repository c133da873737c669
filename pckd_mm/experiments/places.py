"""Where runs are trained: the GPUs of this machine, or its processor."""

import os
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Tuple

import torch

from .facts import cores

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Place:
    """Room for one run at a time.

    Args:
        device (str): The GPU, or several, as CUDA_VISIBLE_DEVICES names them; empty
            for whatever the environment says.
        number (int): Which of several places on the same device.
    """

    device: str = ""
    number: int = 0

    @property
    def environment(self) -> Dict[str, str]:
        """dict[str, str]: What a process there is told."""
        return {VISIBLE: self.device} if self.device else {}

    def __str__(self) -> str:
        return f"GPU {self.device}" if self.device else "CPU"


def visible_gpus() -> List[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    count = torch.cuda.device_count()
    named = os.environ.get(VISIBLE)
    if named is None:
        return [str(index) for index in range(count)]
    # Where one is not there, CUDA leaves out those that are named behind it.
    return [name.strip() for name in named.split(",")][:count]


def gpu_of(environment: Mapping[str, str]) -> int:
    """Which of the GPUs that this process sees another one has, the first of several.

    Args:
        environment (Mapping): What that was told, see :class:`Place`.

    Returns:
        int: 0 where it was told nothing.
    """
    first = environment.get(VISIBLE, "").partition(",")[0]
    gpus = visible_gpus()
    return gpus.index(first) if first in gpus else 0


def find_places(
    jobs: Optional[int] = None,
    per_gpu: Optional[int] = None,
    threads: Optional[int] = None,
    gpus_per_run: int = 1,
    together: int = 1,
) -> Tuple[List[Place], Optional[int]]:
    """Places for runs, and threads of each, where the user left them open.

    Args:
        jobs (int, optional): Runs at a time. Defaults to None: one on each GPU; without
            a GPU two, if cores allow, or one of several runs together.
        per_gpu (int, optional): Runs at a time on each GPU. Defaults to None: one, or
            as many as ``jobs`` asks for.
        threads (int, optional): Threads of a run. Defaults to None: what the
            environment says, else an equal share of the cores.
        gpus_per_run (int): GPUs of a run, with a process each. Defaults to 1.
        together (int): Runs that are started together at a place. Defaults to 1.

    Returns:
        tuple[list[Place], int | None]: The places, each GPU's first before any GPU's
        second; threads of a run, None for what the environment says.

    Raises:
        ValueError: For runs on each GPU of a machine without one, and for fewer of them
            than ``jobs`` or ``gpus_per_run`` asks for.
    """
    gpus = visible_gpus()
    if gpus_per_run > 1:
        if len(gpus) < gpus_per_run or per_gpu is not None:
            raise ValueError(
                f"--gpus-per-run is {gpus_per_run}, and there are {len(gpus)} GPUs; "
                "expected at least as many, and no --per-gpu."
            )
        begins = range(0, len(gpus) - gpus_per_run + 1, gpus_per_run)
        gpus = [",".join(gpus[begin : begin + gpus_per_run]) for begin in begins]
    if per_gpu is not None and not gpus:
        raise ValueError(
            f"--per-gpu is {per_gpu}, and there is no GPU; expected --jobs for runs on "
            "the processor."
        )
    if gpus:
        room = per_gpu or -(-(jobs or 1) // len(gpus))
        places = [Place(gpu, number) for number in range(room) for gpu in gpus]
    else:
        usual = min(2, cores()) if together == 1 else 1
        places = [Place(number=number) for number in range(jobs or usual)]
    if jobs is not None and jobs > len(places):
        raise ValueError(
            f"--jobs is {jobs}, and --per-gpu {per_gpu} on {len(gpus)} GPUs makes "
            f"{len(places)}; expected no more: leave one of them out."
        )
    places = places[:jobs]
    if threads is None and "OMP_NUM_THREADS" not in os.environ:
        threads = max(1, cores() // len(places) // gpus_per_run)
    return places, threads
