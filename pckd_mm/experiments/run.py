"""One training as a process in a folder of its own."""

import functools
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from pckd_mm.analysis import Metric, metric_of, read_epoch, read_metric
from pckd_mm.utils.checkpoint import student_beside
from pckd_mm.utils.commits import note_commit, noted_commits
from pckd_mm.utils.endings import networks_of
from pckd_mm.utils.shipped import beside_configs

from .configs import changed_config
from .digest import teacher_line
from .facts import made_with, precision
from .hold_out import hold_out
from .job import ExperimentError, Job, refusing
from .places import gpu_of
from .settings import Settings
from .sharing import is_shared, share_teacher
from .trainable import (
    leave_broken_out,
    require_last_epoch,
    require_speed,
    with_speed,
)

TEACHER = "teacher"
# Settings that tell runs apart.
SEED, TEACHER_CKPT = "randomness.seed", "model.teacher_ckpt"
# What the time that a run took is noted as, in finished.json.
SECONDS = "seconds_per_epoch"


@dataclass(eq=False)
class Run(Job):
    """One training: a config, with a seed, in a process and a folder of its own.

    ``FOLDER.py`` beside the folder is the config as it is trained, all settings merged
    in; ``finished.json`` in the folder says that the run reached its end.

    Args:
        name (str): Name of the method, which tells the run from others.
        config (str): Path of the config.
        seed (int): Seed of all random numbers.
        folder (Path): Where it is trained.
        settings (Settings): What it shares with other runs.
        teacher (Path, optional): The teacher's checkpoint; None for the config's.
        after (Run, optional): The run that trains the teacher.
        group (str): What the user is told in front of the name.
        options (dict): Settings that override those of its config, and those that all
            runs share.

    Raises:
        ExperimentError: Where there is no config, or it is not one of epochs, or it
            does not measure what runs are compared by, or no images of it can be held
            out, or a setting asks for another seed or teacher, or it may end before its
            last epoch, or its network cannot have a speed option.
    """

    verb = "trained"
    made_of = "its config, seed, teacher or an option such as --amp has"
    split = "val"  # whose metric counts
    trains = True

    name: str
    config: str
    seed: int
    folder: Path
    settings: Settings
    teacher: Optional[Path] = None
    after: Optional["Run"] = None
    group: str = ""
    options: Dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        changes = {**self.settings.options, **self.options}
        self.cfg = changed_config(self.config, self.name, changes)
        seed = changes.get(SEED, self.seed)
        if seed != self.seed:
            raise ExperimentError(
                f"{SEED}={seed} is asked for, and {self} has its own; expected seeds "
                "by --seeds, that of a search by --seed."
            )
        self.cfg.merge_from_dict({SEED: self.seed})
        if not self.distils:
            self.after = None
        elif self.teacher is not None:
            named = changes.get(TEACHER_CKPT)
            if named and Path(beside_configs(named)) != self.teacher:
                raise ExperimentError(
                    f"{TEACHER_CKPT}={named} is asked for, and the teacher of {self} "
                    f"is {self.teacher}; expected one of them: leave the setting out, "
                    "and name the teacher by --teacher."
                )
            self.cfg.merge_from_dict({TEACHER_CKPT: str(self.teacher)})
        self.epochs = self.cfg.train_cfg.get("max_epochs")
        if self.epochs is None:
            raise ExperimentError(
                f"{self.config} has no train_cfg.max_epochs; expected a training in "
                "epochs."
            )
        if self.trains:
            require_last_epoch(self.config, self.cfg, teaches=self.name == TEACHER)
            require_speed(self.config, self.cfg, self.settings.speed)
        with refusing(self.config):
            self.metric = metric_of(self.cfg, self.split)
            if self.settings.val_share is not None:
                hold_out(self.cfg, self.settings.val_share)
        if self.settings.skip_broken and "train_dataloader" in self.cfg:
            leave_broken_out(self.config, self.cfg, self.trains)
        if self.settings.share_teacher and self.distils:
            with refusing(self.config):
                share_teacher(self.cfg)

    def __getstate__(self) -> Dict[str, Any]:
        """What another machine needs: not the processes of this one."""
        return {**self.__dict__, "process": None, "after": None}

    @functools.cached_property
    def settled(self) -> str:
        """str: The config as it is trained; writing it takes a while."""
        return self.cfg.pretty_text

    @property
    def header(self) -> str:
        """str: Name and seed."""
        return self.name if self.name == TEACHER else f"{self.name}, seed {self.seed}"

    def __str__(self) -> str:
        return f"{self.group} {self.header}".strip()

    @property
    def kin(self) -> Path:
        """Path: Its method's folder; a teacher's own, beside which are other ones."""
        return self.folder if self.name == TEACHER else self.folder.parent

    @property
    def needs(self) -> Sequence[Job]:
        """Sequence[Job]: The run that trains its teacher."""
        return () if self.after is None else (self.after,)

    @property
    def who(self) -> str:
        """str: It and its networks."""
        return f"{self} ({networks_of(self.cfg.model)})"

    @property
    def distils(self) -> bool:
        """bool: Whether a student learns from a teacher, wherever its weights are."""
        return "architecture" in self.cfg.model

    @property
    def shares(self) -> bool:
        """bool: Whether another process runs its teacher."""
        return is_shared(self.cfg)

    @property
    def checkpoint(self) -> Path:
        """Path: Where its weights are at the end."""
        return self.folder / f"epoch_{self.epochs}.pth"

    @property
    def network(self) -> Path:
        """Path: The trained network alone, as ExportStudentHook writes a student."""
        path = self.checkpoint
        return Path(student_beside(str(path))) if self.distils else path

    @property
    def made_from(self) -> str:
        """str: What is trained."""
        return self.config

    def curve(self, metric: Optional[Metric] = None) -> Dict[int, float]:
        """A metric in percent after each epoch that was validated so far.

        Args:
            metric (Metric, optional): Which; None for the one that runs are compared
                by.

        Returns:
            dict[int, float]: The values; empty where it is not measured.
        """
        return read_metric(self.folder, metric or self.metric)

    def epochs_done(self) -> int:
        """Epochs trained so far."""
        if self.is_finished:
            return self.epochs
        # Where an epoch is logged, those before it are done, validated or not. The
        # step of a resumed run may lie behind the one that it was cut off at.
        done = max(max(self.curve(), default=0), read_epoch(self.folder) - 1)
        return min(done, self.epochs)

    @property
    def is_left(self) -> bool:
        """bool: Whether there is anything to be done, by it or its teacher's run."""
        return super().is_left or self.waits

    @property
    def waits(self) -> bool:
        """bool: Whether its teacher is to be trained or tested first."""
        return self.after is not None and self.after.is_left

    def outcome(self) -> Optional[str]:
        """The metric in percent after the last epoch, with its name."""
        curve = self.curve()
        if self.epochs not in curve:
            return None
        return f"{self.metric.name} {curve[self.epochs]:.2f}"

    def begin(self) -> None:
        """Note when it is started, how far it is, and at which commit."""
        super().begin()
        note_commit(self.folder, self.settings.root)

    def result(self) -> Dict[str, Any]:
        """What ``finished.json`` holds."""
        result = {self.metric.slug: self.curve()[self.epochs], **self.made_with()}
        trained = self.epochs - self.epochs_before
        if trained > 0:  # else the last one was validated, and nothing else
            result[SECONDS] = round((self.ended - self.started) / trained, 3)
        return result

    def text(self) -> str:
        """What ``FOLDER.py`` holds; the same text means the same training."""
        words = [self.header, *self.settings.speed.what_rounds()]
        if self.processes > 1:
            words.append(f"{self.processes} processes")
        text = f"# {', '.join(words)}\n"
        checkpoint = self.cfg.model.get("teacher_ckpt") if self.distils else None
        if checkpoint is not None:
            is_there = self.teacher is not None and not self.waits
            text += teacher_line(checkpoint, self.config_file if is_there else None)
        return text + self.settled

    def what_counts(self, text: str) -> str:
        """A text without the teacher's path, which may be said in several ways.

        Work dirs may be moved, too. A hash of the teacher is in the first lines.
        """
        return re.sub(r"""(teacher_ckpt=\s*)('[^']*'|"[^"]*")""", r"\1''", text)

    def state(self) -> str:
        """What is to be done, in words."""
        if self.folder.is_dir() and self.is_changed():
            return "changed, anew"
        if self.waits and self.epochs_done():
            return "anew, unless its teacher comes out the same"
        if self.is_finished:
            return f"finished, {self.outcome()}"
        done = self.epochs_done()
        return f"continued after epoch {done}" if done else "to do"

    @property
    def processes(self) -> int:
        """int: Processes that train it, each on a GPU of its own."""
        return self.settings.gpus_per_run

    def command(self) -> List[str]:
        """Command line of the process, behind ``python``."""
        command = ["-m", "pckd_mm", "train", str(self.config_file)]
        command += ["--work-dir", str(self.folder), "--resume"]
        command += self.settings.speed_option() + self.settings.track_option()
        command += self.settings.broken_option()
        if self.processes == 1:
            return command
        launcher = ["-m", "torch.distributed.run", "--standalone"]
        launcher += [f"--nproc_per_node={self.processes}"]
        return [*launcher, *command, "--launcher=pytorch"]

    def precision(self) -> str:
        """What it computes in on this machine, as it is trained.

        Raises:
            ValueError: Where a speed option is refused for its network.
        """
        return precision(with_speed(self.cfg, self.settings.speed))

    def made_with(self) -> Dict[str, Any]:
        """What it is made with."""
        at, packages = noted_commits(self.folder), self.metric.packages
        return made_with(at, self.precision(), packages, gpu_of(self.place))

    def what_sets_it_apart(self) -> Dict[str, List[str]]:
        """What makes it another run than one of the plain config, but for settings."""
        words = ["share_teacher"] if self.shares else []
        words += self.settings.speed.beside_precision() if self.trains else []
        return {"apart": words} if words else {}

    def note(self) -> Dict[str, Any]:
        """What :meth:`made_with` was when it finished."""
        note = json.loads((self.folder / "finished.json").read_text())
        left_out = (self.metric.slug, SECONDS)
        return {key: value for key, value in note.items() if key not in left_out}
