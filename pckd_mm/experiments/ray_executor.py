"""Runs as tasks of a Ray cluster whose machines share a file system."""

import contextlib
import os
import pickle
import signal
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

from .executor import Executor, train_here
from .job import ExperimentError, Job
from .places import Place

try:
    import ray
except ImportError:  # the extra "scale"
    ray = None

__all__ = ["RayExecutor"]

# Seconds that runs get to end in order, as Job.stop gives each of them, and some more.
PATIENCE = 20
# Seconds for which the cluster is taken to have the machines that it had.
MEMORY = 5


@dataclass(frozen=True)
class RayPlace(Place):
    """Room for one run at a time, on whichever machine Ray chooses."""

    def __str__(self) -> str:
        return f"a {self.device} of the Ray cluster"


class RayProcess:
    """A task of Ray in the form of a process.

    Args:
        task (ray.ObjectRef): What the task will return, an exit status.
        run (Job): What it does.
    """

    def __init__(self, task: "ray.ObjectRef", run: Job) -> None:
        self.task = task
        self.run = run
        self.returncode: Optional[int] = None

    def poll(self) -> Optional[int]:
        """The exit status; None before there is one."""
        if self.returncode is None and self._wait(0):
            try:
                self.returncode = ray.get(self.task)
            except ray.exceptions.RayError as error:
                self._note(error)
                self.returncode = 1
            # On network file systems this shows what another machine wrote.
            os.listdir(self.run.folder)
        return self.returncode

    def _wait(self, seconds: float) -> bool:
        done, _ = ray.wait([self.task], timeout=seconds, fetch_local=False)
        return bool(done)

    def _note(self, error: Exception) -> None:
        """Add to the run's log what Ray says."""
        lines = str(error).strip().splitlines()
        # The last line of an error is the cause, the first one says where it was.
        text = "\n".join(dict.fromkeys([lines[0], lines[-1]])) if lines else ""
        with open(self.run.log, "a") as log:
            log.write(f"\nRay: {type(error).__name__}: {text}\n")


class RayExecutor(Executor):
    """Train runs as tasks of a Ray cluster, each with GPUs and CPUs of its own.

    The checkout, its environment and the work dir are at the same paths on all
    machines. When a machine is lost, Ray starts its runs again on others, where they go
    on from their last checkpoints.

    Args:
        address (str): Address of the cluster, or "auto" for that of this machine.
        jobs (int, optional): Runs at a time. Defaults to None, as many as fit.
        per_gpu (int, optional): Runs at a time on each GPU. Defaults to None, one.
        threads (int, optional): Threads of a run, each on a CPU. Defaults to None, what
            the environment says, else an equal share of the machine.
        retries (int): How often a run is started again that was lost with its machine.
            Defaults to 3.
        gpus_per_run (int): GPUs of a run, on one machine. Defaults to 1.

    Raises:
        ExperimentError: Where there is no Ray or no such cluster, or a run does not fit
            on any of its machines.
    """

    def __init__(
        self,
        address: str = "auto",
        jobs: Optional[int] = None,
        per_gpu: Optional[int] = None,
        threads: Optional[int] = None,
        retries: int = 3,
        gpus_per_run: int = 1,
    ) -> None:
        if ray is None:
            raise ExperimentError(
                "--ray needs Ray, which is not installed: pip install -e "
                ".[scale], on each machine of the cluster."
            )
        _connect(address)
        self.jobs = jobs
        self._seen: Tuple[float, int] = (0.0, 0)
        machines = self._machines()
        try:
            self.gpus, self.cpus = share(machines, per_gpu, threads, gpus_per_run)
            if not self._room(machines):
                raise ExperimentError(
                    f"The Ray cluster has no machine with {_resources(self)} for a "
                    "run; expected one: start Ray there with more, or ask for less by "
                    "--threads or --per-gpu."
                )
        except ExperimentError:
            self.close()
            raise
        self.threads = max(1, self.cpus // gpus_per_run)
        self._task = ray.remote(
            num_cpus=self.cpus, num_gpus=self.gpus, max_retries=retries
        )(_errand())

    @property
    def places(self) -> Sequence[Place]:
        """Sequence[Place]: As many as the machines have room for that are there now."""
        when, room = self._seen
        if time.monotonic() - when > MEMORY:
            room = self._room(self._machines())
            self._seen = time.monotonic(), room
        count = room if self.jobs is None else min(room, self.jobs)
        kind = "GPU" if self.gpus else "CPU"
        return [RayPlace(kind, number) for number in range(count)]

    def start(self, run: Job, place: Place) -> None:
        """Hand a run to Ray, which chooses the machine."""
        run.begin()
        work = pickle.dumps((train_here, (run, self.threads)))
        environment = {
            name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ
        }
        # Ray names it where it says that a machine was lost.
        named = self._task.options(name=str(run))
        task = named.remote(work, sys.path, os.getcwd(), environment)
        run.process = RayProcess(task, run)

    def stop(self, runs: Iterable[Job]) -> None:
        """Cancel the tasks of runs; no other task of the cluster is touched."""
        tasks = [run.process.task for run in runs if run.process.poll() is None]
        for force in (False, True):
            for task in tasks:
                ray.cancel(task, force=force)
            if tasks:
                _, tasks = ray.wait(tasks, num_returns=len(tasks), timeout=PATIENCE)

    def close(self) -> None:
        """Leave the cluster."""
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


def _resources(executor: RayExecutor) -> str:
    """What a run gets, in words."""
    cpus = f"{executor.cpus} CPU{'s' if executor.cpus > 1 else ''}"
    return f"{executor.gpus:g} GPU and {cpus}" if executor.gpus else cpus


def _connect(address: str) -> None:
    """Connect to a cluster that is there.

    Raises:
        ExperimentError: Where there is none.
    """
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _reach(address)
        ray.init(address, log_to_driver=False, logging_level="error")
    except (OSError, RuntimeError, ValueError) as error:
        where = "on this machine" if address == "auto" else f"at {address}"
        raise ExperimentError(
            f"There is no Ray cluster {where} ({str(error).splitlines()[0]}); expected "
            "one: start it by ray start --head, and by ray start --address=ADDRESS on "
            "each further machine."
        ) from None
    finally:  # Ray's own would end the process without a word
        with contextlib.suppress(TypeError, ValueError):  # in another thread
            signal.signal(signal.SIGTERM, handler)


def _reach(address: str) -> None:
    """Try an address of a machine and a port, which Ray itself does for minutes.

    Raises:
        OSError: Where nothing answers.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _errand() -> Callable[..., Any]:
    """What a machine of the cluster does; it needs nothing but Python at first.

    Ray sends a function that is made in another one as a whole.
    """

    def errand(
        work: bytes, path: Sequence[str], folder: str, environment: Dict[str, str]
    ) -> Any:
        import os
        import pickle
        import sys

        sys.path[:] = list(dict.fromkeys([*path, *sys.path]))
        os.chdir(folder)
        os.environ.update(environment)
        function, arguments = pickle.loads(work)
        return function(*arguments)

    return errand
