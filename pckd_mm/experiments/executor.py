"""What trains runs: processes on this machine, or whatever else has the same form."""

import contextlib
import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Iterable, Optional, Protocol, Sequence, Type, Union

from .job import ExperimentError, Job, process_of
from .places import Place

# Seconds between two looks at a process.
PAUSE = 0.3


class Process(Protocol):
    """What a run is trained in: a process of ``subprocess``, or what has its form."""

    @property
    def returncode(self) -> Union[int, Any]: ...  # None until it was seen to end

    def poll(self) -> Optional[int]: ...


class Executor(ABC):
    """Start runs at places, know which have ended, and end those that have not.

    As a context it is closed in the end.
    """

    @property
    @abstractmethod
    def places(self) -> Sequence[Place]:
        """Sequence[Place]: Where runs can be trained now, one at a time at each."""

    @abstractmethod
    def start(self, run: Job, place: Place) -> None:
        """Start a run, which is prepared, at a place that is free."""

    @abstractmethod
    def stop(self, runs: Iterable[Job]) -> None:
        """End runs that were started here, and return when they have ended."""

    def close(self) -> None:
        """Give back what was taken for the runs."""
        return None

    @staticmethod
    def has_ended(run: Job) -> bool:
        """Whether a run that was started here has ended."""
        return process_of(run).poll() is not None

    def __enter__(self) -> "Executor":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()


class LocalExecutor(Executor):
    """Runs as processes of this machine.

    Args:
        places (Sequence[Place]): Its devices, as :func:`find_places` finds them.
        threads (int, optional): Threads of a run. Defaults to None, what the
            environment says, else one.
    """

    def __init__(self, places: Sequence[Place], threads: Optional[int] = None) -> None:
        self._places = list(places)
        self.threads = threads

    @property
    def places(self) -> Sequence[Place]:
        """Sequence[Place]: The devices."""
        return self._places

    def start(self, run: Job, place: Place) -> None:
        """Start the process of a run on a device."""
        run.start(self.threads, place.environment)

    def stop(self, runs: Iterable[Job]) -> None:
        """End the processes of runs."""
        for run in runs:
            run.stop()


def train_here(run: Job, threads: Optional[int] = None) -> int:
    """Train a run to its end, on this machine and before anything else is done.

    What it was made with is noted here, where that is known.

    Args:
        run (Job): A run that is prepared.
        threads (int, optional): Threads that it may use.

    Returns:
        int: Exit status of its process.
    """
    run.start(threads)
    try:
        while process_of(run).poll() is None:
            time.sleep(PAUSE)
    finally:
        run.stop()
    # Whoever waits for it reads the log, and says what is missing.
    with contextlib.suppress(ExperimentError):
        run.finish()
    return process_of(run).returncode
