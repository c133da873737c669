"""Which run starts when, and what the user sees of it."""

import shutil
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

from pckd_mm.utils.endings import ending

from .executor import PAUSE, Executor
from .job import ExperimentError, Job, process_of
from .places import Place
from .sharing import Sharing


def duration(seconds: float) -> str:
    """A time for people to read: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def time_left(seconds: Sequence[float], jobs: int) -> float:
    """How long runs take, so many at a time.

    Args:
        seconds (Sequence[float]): Seconds of each of the runs, of which there is one.
        jobs (int): Runs at a time.

    Returns:
        float: Seconds. No run is shared out, so the longest one is a lower bound.
    """
    return max(sum(seconds) / jobs, max(seconds))


class Progress:
    """Lines of finished runs, and one live line where the output is a terminal.

    Args:
        runs (Sequence[Job]): All runs.
        jobs (int): Runs at a time.
    """

    def __init__(self, runs: Sequence[Job], jobs: int) -> None:
        self.runs = runs
        self.jobs = jobs
        self.live = sys.stdout.isatty()

    def seconds_left(self) -> Optional[float]:
        """Estimate from the runs that this call started; None before there is any."""
        rates: Dict[Path, List[float]] = {}
        done = [run.epochs_kept() for run in self.runs]
        for run, epochs_done in zip(self.runs, done, strict=True):
            epochs = epochs_done - run.epochs_before
            if run.process is not None and epochs > 0:
                seconds = (run.ended or time.monotonic()) - run.started
                rates.setdefault(run.kin, []).append(seconds / epochs)
        if not rates:
            return None
        mean = {name: sum(values) / len(values) for name, values in rates.items()}
        unknown = max(mean.values())
        left = [
            (run.epochs - epochs_done) * mean.get(run.kin, unknown)
            for run, epochs_done in zip(self.runs, done, strict=True)
        ]
        return time_left(left, self.jobs)

    def finished(self, run: Job, before: bool = False) -> None:
        """Print the line of a run."""
        line = f"{run}: {run.outcome()}"
        if before:
            self._print(f"{line} (finished before)")
            return
        done = sum(not other.is_left for other in self.runs)
        line += f", {duration(run.ended - run.started)}  [{done}/{len(self.runs)} runs"
        if done < len(self.runs):
            line += self._time_left()
        self._print(line + "]")

    def failed(self, run: Job, how: str) -> None:
        """Print the line of a run that failed."""
        self._print(f"{run}: {how}; the others go on")

    def tick(self) -> None:
        """Renew the live line."""
        if not self.live:
            return
        epochs = sum(run.epochs for run in self.runs)
        done = sum(run.epochs_kept() for run in self.runs)
        running = [
            f"{run} {run.epochs_done()}/{run.epochs}"
            for run in self.runs
            if run.process is not None and run.process.poll() is None
        ]
        line = f"{100 * done / epochs:3.0f}% of all epochs{self._time_left()}"
        line = f"{line} | {'; '.join(running)}"
        width = shutil.get_terminal_size().columns - 1
        print("\r\033[K" + line[:width], end="", flush=True)

    def clear(self) -> None:
        """Take the live line away."""
        if self.live:
            print("\r\033[K", end="", flush=True)

    def _time_left(self) -> str:
        left = self.seconds_left()
        return "" if left is None else f", about {duration(left)} left"

    def _print(self, line: str) -> None:
        self.clear()
        print(line, flush=True)


class Scheduler:
    """Train what is not finished, a run at each place at a time.

    Args:
        runs (Sequence[Job]): The runs, in this order; each waits for those that it
            needs, such as the one that trains its teacher.
        executor (Executor): What trains them; of its places the first that is free is
            taken.
        fresh (bool): Whether to repeat finished runs.
        refresh (callable, optional): Called with each run that was trained.
        sharing (Sharing, optional): Which runs are started together, at one place.
            Defaults to None, none.
    """

    def __init__(
        self,
        runs: Sequence[Job],
        executor: Executor,
        fresh: bool = False,
        refresh: Optional[Callable[[Job], object]] = None,
        sharing: Optional[Sharing] = None,
    ) -> None:
        self.executor = executor
        self.fresh = fresh
        self.refresh = refresh
        self.sharing = sharing or Sharing(1)
        self.progress = Progress(runs, len(executor.places) * self.sharing.size)
        self.waiting = list(runs)
        self.running: Dict[Job, Place] = {}
        self.failures: Dict[Job, str] = {}

    def train(self) -> Dict[str, str]:
        """Train all runs; none outlives the call, however it ends.

        Returns:
            dict[str, str]: The runs that failed, with the end of their logs. Of several
            of one name, as teachers with one config may be, each has its folder.
        """
        if self.fresh:  # all at once, so that another call can go on from here
            for run in self.waiting:
                run.forget()
        try:
            while self.waiting or self.running:
                self._collect()
                self._start()
                self.progress.tick()
                if self.waiting or self.running:
                    time.sleep(1 if self.progress.live else PAUSE)
        finally:
            self.progress.clear()
            self.executor.stop(self.running)
        names = list(map(str, self.failures))
        return {
            f"{run} in {run.folder}" if names.count(name) > 1 else name: text
            for name, (run, text) in zip(names, self.failures.items(), strict=True)
        }

    def _collect(self) -> None:
        """Take note of the runs that have ended."""
        for run in [run for run in self.running if self.executor.has_ended(run)]:
            del self.running[run]
            try:
                run.finish()
            except ExperimentError as error:
                self.failures[run] = str(error)
                how = ending(process_of(run).returncode)
                self.progress.failed(run, f"{how}, see {run.log}")
                continue
            except OSError as error:
                self._not_written(run, error)
                continue
            if run not in self.progress.runs:
                continue  # it served others
            self.progress.finished(run)
            if self.refresh is not None:
                self.refresh(run)

    def _start(self) -> None:
        """Start what may start: there is room, and what it needs is there."""
        for run in list(self.waiting):
            if run not in self.waiting:
                continue  # started with one before
            free = [p for p in self.executor.places if p not in self.running.values()]
            failed = [need for need in run.needs if need in self.failures]
            if failed:
                self.waiting.remove(run)
                reason = f"{run} was not {run.verb}: {failed[0]} failed."
                self.failures[run] = reason
                continue
            if not free or not self._is_ready(run):
                continue
            ready = [other for other in self.waiting if self._is_ready(other)]
            together = self.sharing.group(run, ready)
            # No device idles while another has all of a group.
            size = min(self.sharing.size, -(-len(together) // len(free)))
            left = list(islice(filter(self._prepare, together), size))
            if not left:
                continue
            lead = self.sharing.lead(left)
            try:
                if lead not in left:
                    lead.prepare()
                self.executor.start(lead, free[0])
            except OSError as error:
                for each in left:
                    self._not_written(each, error)
                continue
            # Ended first, it would fail the others.
            self.running.update(dict.fromkeys([*left, lead], free[0]))

    def _is_ready(self, run: Job) -> bool:
        """Whether what a run needs is there."""
        unfinished = [*self.waiting, *self.running]
        return not any(need in unfinished for need in run.needs)

    def _prepare(self, run: Job) -> bool:
        """Prepare a run that is no longer waiting; say if it is left to be trained."""
        self.waiting.remove(run)
        try:
            run.prepare()
        except OSError as error:
            self._not_written(run, error)
            return False
        if run.is_finished:
            self.progress.finished(run, before=True)
        return not run.is_finished

    def _not_written(self, run: Job, error: OSError) -> None:
        """Note a run whose files could not be written, as on a full disk."""
        self.failures[run] = f"{run}: {error}"
        self.progress.failed(run, str(error))
