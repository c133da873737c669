"""A search from a config to the winner."""

import hashlib
import time
from typing import Any, Callable, Dict, List, Optional, Sequence

from pckd_mm.experiments import (
    Executor,
    ExperimentError,
    Run,
    Scheduler,
    check_buildable,
    left_of,
)
from pckd_mm.experiments.digest import digest
from pckd_mm.experiments.ray_cluster import RayCluster
from pckd_mm.experiments.scheduler import duration

from .outcome import write_outcome
from .search import search
from .trial_runs import Tuning, require_teacher, trial_runs
from .trials import FAILED, Ledger, Trial

__all__ = ["Tuning", "tune"]


def tune(
    tuning: Tuning,
    make_executor: Callable[[], Executor],
    make_cluster: Callable[[], RayCluster],
    command: str,
) -> str:
    """Train the teacher if there is none, then trials, and write what was found.

    A second call goes on with the first one's trials.

    Args:
        tuning (Tuning): What is searched.
        make_executor (callable): Gives what trains the teacher.
        make_cluster (callable): Gives where trials are trained.
        command (str): What was called, for the report.

    Returns:
        str: The table of all trials.

    Raises:
        ExperimentError: Where something is missing or cannot be built, or the teacher
            failed.
    """
    runs, teacher = trial_runs(tuning)
    first = runs(0, {entry.name: entry.first for entry in tuning.ranges})
    if tuning.grace is not None and tuning.grace > first.epochs:
        raise ExperimentError(
            f"--grace is {tuning.grace}, and a trial has {first.epochs} epochs; "
            "expected no more than that, which stops no trial."
        )
    ledger = Ledger(tuning.work_dir / "trials", runs, _what(tuning, first, teacher))
    left = tuning.count - sum(trial.is_over for trial in ledger.trials())
    if left > 0:
        if teacher is None and tuning.teacher is None:
            require_teacher(tuning)
        first.after = teacher
        teachers = left_of([] if teacher is None else [teacher])
        check_buildable([*teachers, first])
        if teachers:
            _train(teachers, make_executor)
        cluster = make_cluster()
        print(
            f"{left} trials of {tuning.count}, {first.epochs} epochs each if they are "
            f"not stopped, in {tuning.work_dir}",
            flush=True,
        )
        tell = _Progress(tuning, ledger, command)
        try:
            search(
                ledger,
                tuning.ranges,
                tuning.count,
                first.epochs,
                cluster,
                tuning.jobs,
                tuning.grace,
                tuning.seed,
                tuning.retries,
                tell,
            )
        finally:
            cluster.leave()
    trials = ledger.trials()
    table = write_outcome(tuning, trials, command)
    return "\n\n".join([table, *_lost(ledger, trials)])


def _lost(ledger: Ledger, trials: Sequence[Trial]) -> List[str]:
    """What is to be done about trials that were cut off, where some were.

    Raises:
        ExperimentError: Where no trial came to anything.
    """
    failed = [trial for trial in trials if trial.ended == FAILED]
    cut_off = [trial for trial in trials if not trial.is_over]
    words = []
    if cut_off:
        words += [
            f"{len(cut_off)} of {len(trials)} trials were cut off; "
            f"{cut_off[0].job.log} says why. The same command goes on with them."
        ]
    if trials and len(failed) == len(trials):
        words += [
            f"All {len(trials)} trials failed; {failed[0].job.log} says why. Mend it, "
            f"and remove {ledger.folder} and {ledger.note} to begin anew."
        ]
    if trials and len(failed) + len(cut_off) == len(trials):
        raise ExperimentError(" ".join(words))
    return words


def _what(tuning: Tuning, first: Run, teacher: Optional[Run]) -> Dict[str, Any]:
    """What tells one search from another; it may have more trials later.

    Config, work dir and teacher may be moved: what they hold counts, not their paths.
    """
    settings = tuning.settings
    # Left out where there is nothing, as in searches that were begun without them.
    speed = settings.speed.beside_precision()
    checkpoint = first.cfg.model.get("teacher_ckpt")
    return dict(
        {"speed": speed} if speed else {},
        config=_hash(first),
        search=list(map(str, tuning.ranges)),
        seed=tuning.seed,
        epochs=first.epochs,
        val_share=settings.val_share,
        precision=settings.speed.amp or "as in the config",
        teacher=_hash(teacher) if teacher else checkpoint and digest(checkpoint),
        options=settings.option_list(),
    )


def _hash(run: Run) -> str:
    return hashlib.sha256(run.what_counts(run.settled).encode()).hexdigest()[:16]


def _train(teachers: Sequence[Run], make_executor: Callable[[], Executor]) -> None:
    with make_executor() as executor:
        failures = Scheduler(teachers, executor).train()
    if failures:
        raise ExperimentError("\n\n".join(failures.values()))


class _Progress:
    """A line for each trial that is over, and the report anew.

    Args:
        tuning (Tuning): What is searched.
        ledger (Ledger): The trials.
        command (str): What was called.
    """

    def __init__(self, tuning: Tuning, ledger: Ledger, command: str) -> None:
        self.tuning, self.ledger, self.command = tuning, ledger, command
        self.began = time.monotonic()
        self.told = 0

    def __call__(self, trial: Trial, reason: Optional[str]) -> None:
        self.told += 1
        trials = self.ledger.trials()
        over = sum(other.is_over for other in trials)
        took = time.monotonic() - self.began
        left = took / self.told * (self.tuning.count - over)
        values = " ".join(f"{name}={value}" for name, value in trial.values.items())
        reached = "" if trial.value is None else f"{trial.value:.2f}, "
        line = f"trial {trial.number}: {reached}{trial.state()}, {values}"
        line += f"  [{over}/{self.tuning.count} trials"
        line += f", about {duration(left)} left]" if left else "]"
        print(line, flush=True)
        write_outcome(self.tuning, trials, self.command)
