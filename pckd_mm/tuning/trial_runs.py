"""What a search varies, and the training of each of its trials."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

from pckd_mm.experiments import Request, Run, Settings
from pckd_mm.experiments.teachers import Teachers

from .space import Range

__all__ = [
    "TrialRuns",
    "Tuning",
    "require_teacher",
    "teacher_settings",
    "trial_runs",
]


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

    @property
    def val_share(self) -> float:
        """float: Share of the training images that is held out."""
        return self.settings.val_share or 0.0  # which is refused above


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


def trial_runs(tuning: Tuning) -> "tuple[TrialRuns, Optional[Run]]":
    """What gives the trainings of trials, and the teacher's where there is one."""
    line = _teachers(tuning).of("the search", tuning.config)
    if line is not None:
        return TrialRuns(tuning, line.runs[0].checkpoint), line.runs[0]
    named = tuning.teacher or ""
    return TrialRuns(tuning, Path(named) if named.endswith(".pth") else None), None


def require_teacher(tuning: Tuning) -> None:
    """Refuse a distillation whose teacher is not there and will not be trained.

    Args:
        tuning (Tuning): What is searched.

    Raises:
        ExperimentError: For one.
    """
    _teachers(tuning).require("the search", tuning.config)


def teacher_settings(settings: Settings) -> Settings:
    """What a teacher is trained with: it is another model than the settings are of.

    Args:
        settings (Settings): Those of the students.
    """
    options = settings.options.items()
    own = {name: value for name, value in options if not name.startswith("model.")}
    return replace(settings, options=own)


def _teachers(tuning: Tuning) -> Teachers:
    request = Request(tuning.settings, teacher=tuning.teacher, work_dir=tuning.work_dir)
    return Teachers(request, teacher_settings(tuning.settings))
