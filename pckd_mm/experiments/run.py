"""One training as a process in a folder of its own."""

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from mmengine.config import Config

from pckd_mm.analysis import metric_of, read_curve, read_epoch
from pckd_mm.utils.checkpoint import student_beside
from pckd_mm.utils.children import end_with_parent
from pckd_mm.utils.config import load_config
from pckd_mm.utils.endings import ending, last_lines, networks_of
from pckd_mm.utils.files import write_whole
from pckd_mm.utils.precision import AMP_OPTIONS

from .facts import made_with, precision
from .hold_out import hold_out

TEACHER = "teacher"
# What the time that a run took is noted as, in finished.json.
SECONDS = "seconds_per_epoch"
_from_file = functools.lru_cache(None)(load_config)


class ExperimentError(Exception):
    """What ends an experiment or one of its runs, in words for the user."""


def read_config(path: str, name: str) -> Config:
    """Read a config, once in a process.

    Args:
        path (str): Its path.
        name (str): What needs it, for the message.

    Returns:
        Config: The config; not to be changed.

    Raises:
        ExperimentError: Where there is none.
    """
    if not Path(path).is_file():
        raise ExperimentError(f"There is no config {path} for {name}; expected a file.")
    return _from_file(Path(path).absolute())


@dataclass(frozen=True)
class Settings:
    """What the runs of an experiment share.

    Args:
        root (Path): The repository, whose tools train and test.
        options (dict): Settings that override those of every config.
        amp (str, optional): "auto" for mixed precision where it is fast, "force" for
            it everywhere. Defaults to None.
        val_share (float, optional): Share of the training images that is held out to
            validate on, in place of the test set. Defaults to None.
        gpus_per_run (int): GPUs of a run, each with a process. Defaults to 1.
    """

    root: Path
    options: Dict[str, Any] = field(default_factory=dict)
    amp: Optional[str] = None
    val_share: Optional[float] = None
    gpus_per_run: int = 1

    def option_list(self) -> List[str]:
        """The options as on a command line."""
        return [f"{key}={value}" for key, value in self.options.items()]

    def amp_option(self) -> List[str]:
        """What asks for mixed precision, as on a command line."""
        return [AMP_OPTIONS[self.amp]] if self.amp is not None else []

    def gpus_option(self) -> List[str]:
        """What gives a run several GPUs, as on a command line."""
        several = self.gpus_per_run > 1
        return ["--gpus-per-run", str(self.gpus_per_run)] if several else []

    def val_option(self) -> List[str]:
        """What holds training images out, as on a command line."""
        return ["--val-share", str(self.val_share)] if self.val_share else []


@dataclass(eq=False)
class Run:
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
            out.
    """

    split = "val"  # whose metric counts

    name: str
    config: str
    seed: int
    folder: Path
    settings: Settings
    teacher: Optional[Path] = None
    after: Optional["Run"] = None
    group: str = ""
    options: Dict[str, Any] = field(default_factory=dict)
    process: Optional[subprocess.Popen] = field(default=None, init=False)
    started: float = field(default=0.0, init=False)
    ended: float = field(default=0.0, init=False)
    epochs_before: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.cfg = deepcopy(read_config(self.config, self.name))
        self.cfg.merge_from_dict(
            {**self.settings.options, **self.options, "randomness.seed": self.seed}
        )
        if not self.distils:
            self.after = None
        elif self.teacher is not None:
            self.cfg.merge_from_dict({"model.teacher_ckpt": str(self.teacher)})
        self.epochs = self.cfg.train_cfg.get("max_epochs")
        if self.epochs is None:
            raise ExperimentError(
                f"{self.config} has no train_cfg.max_epochs; expected a training in "
                "epochs."
            )
        # MMEngine validates the last epoch whatever the interval, once it has begun.
        begin = self.cfg.train_cfg.get("val_begin", 1)
        if begin > self.epochs:
            raise ExperimentError(
                f"{self.config} has train_cfg.val_begin {begin} and max_epochs "
                f"{self.epochs}; expected validation after the last epoch, whose "
                "metric counts: lower val_begin."
            )
        try:
            self.metric = metric_of(self.cfg, self.split)
        except ValueError as error:
            raise ExperimentError(f"{self.config}: {error}") from None
        if self.settings.val_share is not None:
            try:
                hold_out(self.cfg, self.settings.val_share)
            except ValueError as error:
                raise ExperimentError(f"{self.config}: {error}") from None

    def __getstate__(self) -> Dict[str, Any]:
        """What another machine needs: not the processes of this one."""
        return {**self.__dict__, "process": None, "after": None}

    @property
    def header(self) -> str:
        """str: Name and seed."""
        return self.name if self.name == TEACHER else f"{self.name}, seed {self.seed}"

    def __str__(self) -> str:
        return f"{self.group} {self.header}".strip()

    @property
    def distils(self) -> bool:
        """bool: Whether it needs a teacher."""
        return "teacher_ckpt" in self.cfg.model

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
    def log(self) -> Path:
        """Path: What the process printed."""
        return self.folder / "output.log"

    @property
    def config_file(self) -> Path:
        """Path: The config as it is trained."""
        return self.folder.parent / f"{self.folder.name}.py"

    @property
    def made_from(self) -> str:
        """str: What is trained."""
        return self.config

    @property
    def is_finished(self) -> bool:
        """bool: Whether it was trained to its end."""
        return (self.folder / "finished.json").is_file()

    @property
    def is_left(self) -> bool:
        """bool: Whether there is anything to be done."""
        return not self.is_finished or self.is_changed()

    @property
    def is_begun(self) -> bool:
        """bool: Whether anything is in its folder."""
        return self.folder.is_dir() and any(self.folder.iterdir())

    def curve(self) -> Dict[int, float]:
        """The metric in percent after each epoch that was validated so far."""
        curve = read_curve(self.folder, self.metric.key)
        return {epoch: self.metric.factor * value for epoch, value in curve.items()}

    def epochs_done(self) -> int:
        """Epochs trained so far."""
        if self.is_finished:
            return self.epochs
        # Where an epoch is logged, those before it are done, validated or not. The
        # step of a resumed run may lie behind the one that it was cut off at.
        done = max(max(self.curve(), default=0), read_epoch(self.folder) - 1)
        return min(done, self.epochs)

    def epochs_kept(self) -> int:
        """Epochs that need not be trained again when it is started next."""
        return 0 if self.is_changed() else self.epochs_done()

    def text(self) -> str:
        """What ``FOLDER.py`` holds; the same text means the same training."""
        precision = {None: "", "auto": ", mixed precision"}.get(
            self.settings.amp, ", mixed precision on any CPU"
        )
        processes = f", {self.processes} processes" if self.processes > 1 else ""
        text = f"# {self.header}{precision}{processes}\n"
        if self.distils:
            text += f"# The teacher: {digest(self.cfg.model.teacher_ckpt)}\n"
        return text + self.cfg.pretty_text

    def is_changed(self) -> bool:
        """Whether another training was begun in its folder."""
        return (
            self.config_file.is_file()
            and self.config_file.read_text(encoding="utf-8") != self.text()
        )

    def state(self) -> str:
        """What is to be done, in words."""
        if self.folder.is_dir() and self.is_changed():
            return "changed, anew"
        if self.is_finished:
            return f"finished, {self.metric.name} {self.curve()[self.epochs]:.2f}"
        done = self.epochs_done()
        return f"continued after epoch {done}" if done else "to do"

    def check_folder(self) -> None:
        """Refuse a folder that was not made by this tool.

        Raises:
            ExperimentError: Where it is one.
        """
        if self.is_begun and not self.config_file.is_file():
            raise ExperimentError(
                f"{self.folder} is there and was not made by this tool; expected no "
                "such folder: give another --work-dir."
            )

    def prepare(self, fresh: bool = False) -> None:
        """Write the config; make room where another one was trained.

        Args:
            fresh (bool): Whether to remove what was trained before.
        """
        if self.is_begun and fresh:
            shutil.rmtree(self.folder)
        elif self.is_begun and self.is_changed():
            print(f"{self}: its config, seed or teacher has changed; trained anew.")
            set_aside(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        # Half a config would be one that has changed, and the run be trained anew.
        write_whole(str(self.config_file), self.text().encode())

    @property
    def processes(self) -> int:
        """int: Processes that train it, each on a GPU of its own."""
        return self.settings.gpus_per_run

    @property
    def interpreter(self) -> str:
        """str: What runs its :meth:`command`."""
        return "bash" if self.processes > 1 else sys.executable

    def command(self) -> List[str]:
        """Command line of the process, without the interpreter."""
        tools, several = self.settings.root / "tools", self.processes > 1
        command = [str(tools / ("dist_train.sh" if several else "train.py"))]
        command += [str(self.config_file)]
        command += [str(self.processes)] if several else []
        command += ["--work-dir", str(self.folder), "--resume"]
        return command + self.settings.amp_option()

    def begin(self) -> None:
        """Note when it is started, and how far it is."""
        self.epochs_before = self.epochs_done()
        self.started = time.monotonic()

    def start(
        self,
        threads: Optional[int] = None,
        place: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Start the process.

        Args:
            threads (int, optional): Threads that it may use; None for what the
                environment says, else one.
            place (Mapping, optional): What its environment says of the device.
        """
        environment = {"OMP_NUM_THREADS": "1", **os.environ, **(place or {})}
        environment["PYTHON"] = sys.executable  # for the shell script
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        self.begin()
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                [self.interpreter, *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                preexec_fn=end_with_parent,
            )

    def finish(self) -> float:
        """Check that the process did its work, and note it, if that was not done.

        Returns:
            float: The metric in percent after the last epoch.

        Raises:
            ExperimentError: With the end of the log.
        """
        self.ended = time.monotonic()
        curve = self.curve()
        if self.process.returncode or self.epochs not in curve:
            status = self.process.returncode
            who = f"{self} failed (exit status {status})"
            if status < 0:  # it could not say anything itself
                who = f"{self} ({networks_of(self.cfg.model)}) {ending(status)}"
            lines = last_lines(self.log.read_text(errors="replace"))
            raise ExperimentError(
                "\n".join(lines) + f"\n\n{who}; the end of its log, {self.log}, is "
                "above. The same command goes on from here."
            )
        if self.is_finished:  # noted by the machine that it was trained on
            return curve[self.epochs]
        note = {self.metric.slug: curve[self.epochs], **self.made_with()}
        trained = self.epochs - self.epochs_before
        if trained > 0:  # else the last one was validated, and nothing else
            note[SECONDS] = round((self.ended - self.started) / trained, 3)
        text = json.dumps(note) + "\n"
        write_whole(str(self.folder / "finished.json"), text.encode())
        return curve[self.epochs]

    def precision(self) -> str:
        """What it computes in on this machine, as tools/train.py trains it.

        Raises:
            ValueError: Where ``--amp`` is refused for its network.
        """
        from pckd_mm.engine.speed_options import use_mixed_precision

        cfg = deepcopy(self.cfg)
        if self.settings.amp is not None:
            use_mixed_precision(cfg, self.settings.amp)
        return precision(cfg)

    def made_with(self) -> Dict[str, Any]:
        """What it is made with."""
        return made_with(self.settings.root, self.precision(), self.metric.packages)

    def note(self) -> Dict[str, Any]:
        """What :meth:`made_with` was when it finished."""
        note = json.loads((self.folder / "finished.json").read_text())
        left_out = (self.metric.slug, SECONDS)
        return {key: value for key, value in note.items() if key not in left_out}

    def stop(self) -> None:
        """End the process, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@dataclass(eq=False)
class TeacherTest(Run):
    """The test of a teacher's checkpoint that is there already.

    Args:
        tested (Path): The checkpoint; all others as those of :class:`Run`.
    """

    tested: Path = Path()
    split = "test"
    processes = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.epochs = 1

    @property
    def checkpoint(self) -> Path:
        """Path: The checkpoint."""
        return self.tested

    @property
    def made_from(self) -> str:
        """str: What is tested with which config."""
        return f"{self.tested}, tested with {self.config}"

    def text(self) -> str:
        """What ``FOLDER.py`` holds; the same text means the same test."""
        digested = digest(str(self.tested))
        return f"# {self}, test of {digested}\n{self.cfg.pretty_text}"

    def command(self) -> List[str]:
        """Command line of the process, without the interpreter."""
        command = [str(self.settings.root / "tools" / "test.py")]
        command += [str(self.config_file), str(self.tested)]
        out = str(self.folder / "metrics.json")
        return [*command, "--work-dir", str(self.folder), "--out", out]

    def curve(self) -> Dict[int, float]:
        """Its metric in percent, as that of a single epoch."""
        path = self.folder / "metrics.json"
        if not path.is_file():
            return {}
        value = json.loads(path.read_text())[self.metric.key]
        return {1: self.metric.factor * value}

    def precision(self) -> str:
        """What the test computes in: no optimizer has a part in it."""
        return "float32"

    def made_with(self) -> Dict[str, Any]:
        """What the test is made with."""
        return {**super().made_with(), "tested": str(self.tested)}


def digest(path: str) -> str:
    """What tells one checkpoint from another: a hash of a file, else its name."""
    if not Path(path).is_file():
        return path
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def set_aside(folder: Path) -> None:
    """Rename a folder to NAME.old, or NAME.old2 and so on."""
    number = 1
    while (new := Path(f"{folder}.old{number if number > 1 else ''}")).exists():
        number += 1
    folder.rename(new)
