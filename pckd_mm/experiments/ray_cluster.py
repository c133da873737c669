"""A Ray cluster, and what each run gets of it."""

import contextlib
import logging
import os
import signal
import socket
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from pckd_mm.utils.printable import first_line

from .facts import cores
from .job import ExperimentError
from .places import visible_gpus

try:
    import ray
except ImportError:  # the extra "scale"
    ray = None  # type: ignore[assignment]

__all__ = ["RayCluster", "share"]


class RayCluster:
    """A cluster that this process is connected to, and what a run gets of it.

    Args:
        address (str, optional): Address of the cluster, or "auto" for that of this
            machine. Defaults to None: one of this machine alone, which ends with this
            process.
        per_gpu (int, optional): Runs at a time on each GPU. Defaults to None, one.
        threads (int, optional): Threads of a run, each on a CPU. Defaults to None, what
            the environment says, else an equal share of the machine.
        gpus_per_run (int): GPUs of a run, on one machine. Defaults to 1.
        jobs (int): Runs that there is to be room for on this machine alone, at the cost
            of their speed. Defaults to 1.

    Attributes:
        gpus (float): GPUs of a run.
        cpus (int): CPUs of a run.
        threads (int): Threads of each of its processes.

    Raises:
        ExperimentError: Where there is no Ray or no such cluster, or a run does not fit
            on any of its machines.
    """

    def __init__(
        self,
        address: Optional[str] = None,
        per_gpu: Optional[int] = None,
        threads: Optional[int] = None,
        gpus_per_run: int = 1,
        jobs: int = 1,
    ) -> None:
        if ray is None:
            raise ExperimentError(
                "Ray is needed, and is not installed: pip install 'pckd_mm[scale]', on "
                "each machine of the cluster."
            )
        with _own_sigterm():
            if address is None:
                each = threads or int(os.environ.get("OMP_NUM_THREADS", 1))
                _begin(jobs * each * gpus_per_run)
            else:
                _connect(address)
        machines = self._machines()
        try:
            self.gpus, self.cpus = share(machines, per_gpu, threads, gpus_per_run)
            if not self._room(machines):
                raise ExperimentError(
                    f"The Ray cluster has no machine with {self} for a run; expected "
                    "one: start Ray there with more, or ask for less by --threads or "
                    "--per-gpu."
                )
        except ExperimentError:
            self.leave()
            raise
        self.threads = max(1, self.cpus // gpus_per_run)

    def __str__(self) -> str:
        """What a run gets, in words."""
        cpus = f"{self.cpus} CPU{'s' if self.cpus > 1 else ''}"
        return f"{self.gpus:g} GPU and {cpus}" if self.gpus else cpus

    def room(self) -> int:
        """How many runs fit on the machines that are there now."""
        return self._room(self._machines())

    @staticmethod
    def leave() -> None:
        """Leave the cluster; one of this machine alone ends."""
        ray.shutdown()

    @staticmethod
    def _machines() -> List[Dict[str, float]]:
        """Resources of the machines that are alive."""
        return [node["Resources"] for node in ray.nodes() if node["Alive"]]

    def _room(self, machines: Sequence[Dict[str, float]]) -> int:
        """How many runs fit, each on a single machine."""
        return sum(
            min(
                int(machine.get(name, 0) / each)
                for name, each in (("CPU", self.cpus), ("GPU", self.gpus))
                if each
            )
            for machine in machines
        )


def share(
    machines: Sequence[Dict[str, float]],
    per_gpu: Optional[int] = None,
    threads: Optional[int] = None,
    gpus_per_run: int = 1,
) -> Tuple[float, int]:
    """What each run gets of machines, where the user left it open.

    Args:
        machines (Sequence[dict]): Number of GPUs and CPUs of each, as Ray gives them.
        per_gpu (int, optional): Runs at a time on each GPU. Defaults to None, one.
        threads (int, optional): Threads of a run. Defaults to None, what the
            environment says, else the cores of a machine by its GPUs, or two runs on a
            machine without GPUs; the smallest such machine counts.
        gpus_per_run (int): GPUs of a run, with a process each. Defaults to 1.

    Returns:
        tuple[float, int]: GPUs and CPUs of a run.

    Raises:
        ExperimentError: For runs on each GPU of a cluster without one.
    """
    most = gpus_per_run if gpus_per_run > 1 else 0
    with_gpu = [m for m in machines if m.get("GPU", 0) >= max(1, most)]
    if most and (per_gpu is not None or not with_gpu):
        raise ExperimentError(
            f"--gpus-per-run is {most}, which no machine of the Ray cluster has; "
            "expected no more than a machine has, and no --per-gpu."
        )
    if per_gpu is not None and not with_gpu:
        raise ExperimentError(
            f"--per-gpu is {per_gpu}, and the Ray cluster has no GPU; expected --jobs "
            "or --threads for runs on processors."
        )
    gpus = gpus_per_run / (per_gpu or 1) if with_gpu else 0
    if threads is None and "OMP_NUM_THREADS" in os.environ:
        threads = int(os.environ["OMP_NUM_THREADS"])
    if threads is not None:
        return gpus, threads * gpus_per_run
    runs = [
        (machine.get("CPU", 0), machine["GPU"] / gpus if gpus else 2)
        for machine in with_gpu or machines
    ]
    shares = [cpus // count for cpus, count in runs if cpus]
    return gpus, max(1, int(min(shares, default=1)))


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep what SIGTERM does; Ray's would end the process without a word."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        with contextlib.suppress(TypeError, ValueError):  # in another thread
            signal.signal(signal.SIGTERM, handler)


def _begin(cpus: int) -> None:
    """Begin a cluster of this machine alone, with so many CPUs or all that it has."""
    # Where others leave little memory, Ray would end runs before any is missing.
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
    ray.init(
        "local",
        num_cpus=max(cores(), cpus),
        num_gpus=len(visible_gpus()),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


def _connect(address: str) -> None:
    """Connect to a cluster that is there.

    Raises:
        ExperimentError: Where there is none.
    """
    try:
        _reach(address)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        where = "on this machine" if address == "auto" else f"at {address}"
        raise ExperimentError(
            f"There is no Ray cluster {where} ({first_line(error)}); expected "
            "one: start it by ray start --head, and by ray start --address=ADDRESS on "
            "each further machine."
        ) from None


def _reach(address: str) -> None:
    """Try an address of a machine and a port, which Ray itself does for minutes.

    Raises:
        OSError: Where nothing answers.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
