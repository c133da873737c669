"""A search from a config to the winner."""

import hashlib
import shlex
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from pckd_mm.experiments import (
    Executor,
    ExperimentError,
    Request,
    Run,
    Scheduler,
    Settings,
    check_buildable,
)
from pckd_mm.experiments.facts import made_with_together
from pckd_mm.experiments.plan import teacher_of
from pckd_mm.experiments.ray_cluster import RayCluster
from pckd_mm.experiments.scheduler import duration
from pckd_mm.utils.files import write_whole
from pckd_mm.utils.shipped import beside_configs, find_config

from .report import Found, write_report
from .search import search
from .space import Range
from .trials import FAILED, Ledger, Trial

__all__ = ["Tuning", "tune"]

WINNER = "winner.py"


@dataclass(frozen=True)
class Tuning:
    """What is searched, and how.

    Args:
        config (str): Path of the config.
        ranges (Sequence[Range]): What is varied.
        settings (Settings): What all trials share; its ``val_share`` is held out.
        work_dir (Path): Folder of all of it.
        count (int): Trials in all.
        seed (int): Seed of the trainings and of the suggestions.
        teacher (str, optional): Config or checkpoint of the teacher; None for that of
            the config.
        grace (int, optional): Epochs before a trial may be stopped; None for a ninth.
        jobs (int, optional): Trials at a time; None for as many as fit.
        retries (int): How often a trial goes on elsewhere that was lost.
    """

    config: str
    ranges: Sequence[Range]
    settings: Settings
    work_dir: Path
    count: int = 30
    seed: int = 0
    teacher: Optional[str] = None
    grace: Optional[int] = None
    jobs: Optional[int] = None
    retries: int = 3

    def __post_init__(self) -> None:
        if not self.settings.val_share:
            raise ValueError("Found no val_share; expected images that are held out.")


@dataclass(frozen=True)
class TrialRuns:
    """Gives the training of each trial, on whichever machine.

    Args:
        tuning (Tuning): What is searched.
        teacher (Path, optional): The teacher's checkpoint; None for the config's.
    """

    tuning: Tuning
    teacher: Optional[Path]

    def __call__(self, number: int, values: Mapping[str, Any]) -> Run:
        """The training of a trial, from its number and its values."""
        tuning = self.tuning
        return Run(
            f"trial {number}",
            tuning.config,
            tuning.seed,
            tuning.work_dir / "trials" / f"{number:03d}",
            tuning.settings,
            self.teacher,
            options={entry.path: values[entry.name] for entry in tuning.ranges},
        )


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
    runs, teacher = _trial_runs(tuning)
    first = runs(0, {entry.name: entry.first for entry in tuning.ranges})
    ledger = Ledger(tuning.work_dir / "trials", runs, _what(tuning, first))
    left = tuning.count - sum(trial.is_over for trial in ledger.trials())
    if left > 0:
        _require_teacher(tuning, first, teacher)
        check_buildable([first])
        if teacher is not None and teacher.is_left:
            _train(teacher, make_executor)
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
    table = _report(tuning, trials, command)
    if trials and all(trial.ended == FAILED for trial in trials):
        raise ExperimentError(
            f"All {len(trials)} trials failed; {trials[0].job.log} says why. Mend it, "
            f"and remove {tuning.work_dir} to begin anew."
        )
    return table


def _trial_runs(tuning: Tuning) -> "tuple[TrialRuns, Optional[Run]]":
    """What gives the trainings of trials, and the teacher's where there is one."""
    request = Request(tuning.settings, teacher=tuning.teacher, work_dir=tuning.work_dir)
    line = teacher_of(request, "the search", tuning.config)
    if line is not None:
        return TrialRuns(tuning, line.runs[0].checkpoint), line.runs[0]
    named = tuning.teacher is not None and tuning.teacher.endswith(".pth")
    return TrialRuns(tuning, Path(tuning.teacher) if named else None), None


def _what(tuning: Tuning, first: Run) -> Dict[str, Any]:
    """What tells one search from another; it may have more trials later."""
    return dict(
        config=find_config(tuning.config),
        what_it_says=hashlib.sha256(first.settled.encode()).hexdigest()[:16],
        search=list(map(str, tuning.ranges)),
        seed=tuning.seed,
        epochs=first.epochs,
        val_share=tuning.settings.val_share,
        precision=tuning.settings.amp or "as in the config",
        teacher=first.cfg.model.get("teacher_ckpt"),
        options=tuning.settings.option_list(),
    )


def _require_teacher(tuning: Tuning, first: Run, teacher: Optional[Run]) -> None:
    """Refuse a distillation whose teacher is not there and will not be trained."""
    own = first.cfg.model.get("teacher_ckpt")
    if not first.distils or teacher is not None or not own or "://" in own:
        return
    if not Path(beside_configs(own)).is_file():
        raise ExperimentError(
            f"There is no teacher_ckpt {own} for {tuning.config}; expected the file, "
            "which pckd compare trains, or --teacher with a checkpoint or with the "
            "config that trains it."
        )


def _train(teacher: Run, make_executor: Callable[[], Executor]) -> None:
    with make_executor() as executor:
        failures = Scheduler([teacher], executor).train()
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
        _report(self.tuning, trials, self.command)


def _report(tuning: Tuning, trials: Sequence[Trial], command: str) -> str:
    """Write the report and the winner, of what there is."""
    metric = trials[0].job.metric.name if trials else "value"
    found = Found(tuning.ranges, trials, metric)
    notes = [trial.job.note() for trial in trials if trial.is_finished]
    facts = {"command": command, **made_with_together(notes)} if notes else {}
    steps = _winner(tuning, found, facts) if found.best else []
    share = f"{100 * tuning.settings.val_share:g} %"
    caption = (
        f"{metric} in percent after the last epoch that a trial was trained for, on "
        f"{share} of the training images, which were held out of the training, the "
        "same ones in all trials. The test set was not read. Trial 0 has the values of "
        f"{tuning.config}. One seed each, so that small differences are luck."
    )
    title = f"Search over {tuning.config}"
    return write_report(tuning.work_dir, title, found, caption, steps, facts)


def _winner(tuning: Tuning, found: Found, facts: Mapping[str, Any]) -> List[str]:
    """Write the best trial as a config for all training images, if it is better.

    Returns:
        list[str]: What to do with it.
    """
    best, first = found.best, found.first
    path = tuning.work_dir / WINNER
    if best is first:
        path.unlink(missing_ok=True)
        return ["No trial was better than the values of the config."]
    changes = {entry.path: best.values[entry.name] for entry in tuning.ranges}
    settings = replace(tuning.settings, val_share=None)
    named = tuning.teacher if (tuning.teacher or "").endswith(".pth") else None
    run = Run(
        "winner",
        tuning.config,
        tuning.seed,
        tuning.work_dir / "winner",
        settings,
        Path(named) if named else None,
        options=changes,
    )
    share = f"{100 * tuning.settings.val_share:g} %"
    lines = [
        f"Found by a search of {len(found.trials)} trials over {tuning.config}:",
        f"trial {best.number}, {found.metric} {best.value:.2f} on {share} of the",
        "training images, which were held out of the training"
        + (f"; the values of the config: {first.value:.2f}." if first else "."),
        *(f"  {name} = {value}" for name, value in changes.items()),
        *(f"{key}: {facts[key]}" for key in ("command", "commit") if key in facts),
    ]
    header = "".join(f"# {line}\n" for line in lines)
    write_whole(str(path), (header + run.settled).encode())
    train = ["pckd", "train", str(path), *settings.amp_option()]
    compare = ["pckd", "compare"]
    source = tuning.teacher or run.cfg.model.get("teacher_config")
    compare += ["--teacher", str(source)] if source else []
    compare += ["--run", f"as in the config={tuning.config}", "--run"]
    compare += [f"found={path}", "--seeds", "0", "1", "2"]
    compare += [*settings.amp_option(), *settings.gpus_option()]
    again = [*compare, "--val-share", str(tuning.settings.val_share)]
    options = settings.option_list()
    for command, folder in ((again, "held_out"), (compare, "test")):
        command += ["--work-dir", str(tuning.work_dir / folder)]
        command += ["--cfg-options", *options] if options else []
    return [
        f"The winner is trial {best.number}, {path}. Train it on all training images:",
        _block(train),
        "Was it luck? Other seeds on the same held-out images tell:",
        _block(again),
        "When all is chosen, once, on the test set:",
        _block(compare),
    ]


def _block(command: Sequence[str]) -> str:
    return f"```bash\n{shlex.join(command)}\n```"
