"""The trials of a search, each with a folder of its own, on disk."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional

from pckd_mm.experiments import ExperimentError, Run
from pckd_mm.utils.files import write_whole

__all__ = ["Ledger", "MakeJob", "Trial"]

# How a trial ended that was not trained to its end.
STOPPED, FAILED = "stopped", "failed"

# From the number of a trial and its values to its training.
MakeJob = Callable[[int, Mapping[str, Any]], Run]


@dataclass
class Trial:
    """Values of the settings, and what came of them.

    Args:
        number (int): Its number, from 0.
        values (dict): The values, by the names of :class:`Range`.
        job (Run): Its training.
        ended (str, optional): "stopped" early, or "failed"; None for what is finished
            or not yet, as where its machine cut it off.
    """

    number: int
    values: Dict[str, Any]
    job: Run
    ended: Optional[str] = None

    @property
    def is_finished(self) -> bool:
        """bool: Whether it was trained to its end."""
        return self.job.is_finished

    @property
    def is_over(self) -> bool:
        """bool: Whether nothing of it is left to do."""
        return self.ended is not None or self.is_finished

    def curve(self) -> Dict[int, float]:
        """The metric in percent after each epoch that was validated."""
        return self.job.curve()

    @property
    def value(self) -> Optional[float]:
        """float, optional: The metric after the last epoch so far."""
        curve = self.curve()
        return curve[max(curve)] if curve else None

    def state(self) -> str:
        """How far it came, in words."""
        curve = self.curve()
        if self.is_finished:
            return "finished"
        if self.ended == FAILED:
            return f"failed, see {self.job.log}"
        after = f"after epoch {max(curve)}" if curve else "before the first epoch"
        return f"stopped {after}" if self.ended else f"cut off {after}"


@dataclass
class Ledger:
    """All trials of a search; what is on disk is what there is.

    A trial is written down before anything of it is trained, so that none is lost,
    whenever a process is killed.

    Args:
        folder (Path): Where trials are trained.
        make_job (callable): Gives the training of a trial.
        what (dict): What is searched. A folder holds the trials of one search.

    Raises:
        ExperimentError: Where the folder has the trials of another search.
    """

    folder: Path
    make_job: MakeJob
    what: Dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        path = self.note
        before = json.loads(path.read_text()) if path.is_file() else self.what
        if before != self.what:
            names = [*before, *self.what]
            changed = [n for n in names if before.get(n) != self.what.get(n)]
            raise ExperimentError(
                f"{self.folder.parent} has a search with other settings "
                f"({', '.join(dict.fromkeys(changed))}); expected the same, to go on "
                "with it, or another --work-dir."
            )

    @property
    def note(self) -> Path:
        """Path: What is searched."""
        return self.folder.parent / "search.json"

    def trials(self) -> List[Trial]:
        """The trials so far, by their numbers."""
        paths = sorted(self.folder.glob("[0-9]*.json"), key=lambda p: int(p.stem))
        return [self._read(path) for path in paths]

    def _read(self, path: Path) -> Trial:
        entry = json.loads(path.read_text())
        job = self.make_job(int(path.stem), entry["values"])
        return Trial(int(path.stem), entry["values"], job, entry["ended"])

    def add(self, values: Mapping[str, Any]) -> Trial:
        """Write a new trial down.

        Args:
            values (Mapping): Its values.

        Returns:
            Trial: The trial.
        """
        if not self.note.is_file():
            text = json.dumps(self.what, indent=2) + "\n"
            write_whole(str(self.note), text.encode())
        numbers = [int(path.stem) for path in self.folder.glob("[0-9]*.json")]
        number = max(numbers, default=-1) + 1
        trial = Trial(number, dict(values), self.make_job(number, values))
        self._write(trial)
        return trial

    def end(self, trial: Trial, how: str) -> None:
        """Write down that a trial is not trained any further.

        Args:
            trial (Trial): The trial.
            how (str): "stopped" or "failed".
        """
        trial.ended = how
        self._write(trial)

    def _write(self, trial: Trial) -> None:
        entry = dict(values=trial.values, ended=trial.ended)
        path = self.folder / f"{trial.number:03d}.json"
        write_whole(str(path), (json.dumps(entry) + "\n").encode())
