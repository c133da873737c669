"""Runs as tasks of a Ray cluster whose machines share a file system."""

import os
import pickle
import sys
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, Optional, Sequence, Tuple

from .executor import Executor, train_here
from .job import Job
from .places import Place
from .ray_cluster import RayCluster

try:
    import ray
except ImportError:  # the extra "scale"
    ray = None  # type: ignore[assignment]

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
        self.cluster = RayCluster(address, per_gpu, threads, gpus_per_run)
        self.jobs = jobs
        self._seen: Tuple[float, int] = (0.0, 0)
        self._task = ray.remote(
            num_cpus=self.cluster.cpus, num_gpus=self.cluster.gpus, max_retries=retries
        )(_errand())

    @property
    def places(self) -> Sequence[Place]:
        """Sequence[Place]: As many as the machines have room for that are there now."""
        when, room = self._seen
        if time.monotonic() - when > MEMORY:
            room = self.cluster.room()
            self._seen = time.monotonic(), room
        count = room if self.jobs is None else min(room, self.jobs)
        kind = "GPU" if self.cluster.gpus else "CPU"
        return [RayPlace(kind, number) for number in range(count)]

    def start(self, run: Job, place: Place) -> None:
        """Hand a run to Ray, which chooses the machine."""
        run.begin()
        work = pickle.dumps((train_here, (run, self.cluster.threads)))
        environment = {
            name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ
        }
        # Ray names it where it says that a machine was lost.
        named = self._task.options(name=str(run))
        task = named.remote(work, sys.path, os.getcwd(), environment)
        run.process = RayProcess(task, run)

    def stop(self, runs: Iterable[Job]) -> None:
        """Cancel the tasks of runs; no other task of the cluster is touched."""
        processes = [run.process for run in runs]
        tasks = [
            process.task
            for process in processes
            if isinstance(process, RayProcess) and process.poll() is None
        ]
        for force in (False, True):
            for task in tasks:
                ray.cancel(task, force=force)
            if tasks:
                _, tasks = ray.wait(tasks, num_returns=len(tasks), timeout=PATIENCE)

    def close(self) -> None:
        """Leave the cluster."""
        self.cluster.leave()


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
