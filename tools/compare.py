"""Compare methods: train each over pairs of networks and seeds, then write a report.

python tools/compare.py --methods kd pckd --pairs resnet56_resnet20 wrn_40_2_wrn_16_2
python tools/compare.py --methods pckd:0,1,2 kd:0,1,2 all:0 \\
    --pairs resnet20_resnet8_12e --work-dir work_dirs/cifar100_12e

trains configs/METHOD/cifar100_PAIR.py. The student alone, which gains are over, is
always among them (configs/vanilla), with the seeds of all methods of the pair. The
teacher is the config's teacher_ckpt where that file is, which is then tested; else it
is trained once from the config's teacher_config. Configs of any other name:

python tools/compare.py --teacher configs/vanilla/cifar100_resnet56.py \\
    --run alone=configs/vanilla/cifar100_resnet20.py \\
    --run mine=configs/kd/cifar100_resnet56_resnet20.py \\
    --seeds 0 1 2 --work-dir work_dirs/resnet56_resnet20

Started again after an interruption, the same command goes on: runs that are finished
are not repeated, a run that was cut off continues from its last checkpoint. A run
whose config, seed or teacher has changed is trained anew; what was there is kept, as
NAME.old. A run that fails does not end the others. The report is renewed after each
run. The accuracy of a run is that after its last epoch.
"""

import argparse
import datetime
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch
from mmengine.config import Config, DictAction

from pckd_mm.analysis import (
    Method,
    Table,
    published,
    read_curve,
    read_preview,
    write_report,
)

ROOT = Path(__file__).resolve().parents[1]
# Of the working directory, as the paths inside of the configs are.
CONFIGS = Path("configs")
TEACHER = "teacher"
VANILLA = "vanilla"
WORK_DIR = Path("work_dirs/compare")


class CompareError(Exception):
    """What ends a comparison, in one sentence for the user."""


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        default=[],
        metavar="METHOD[:SEED,...]",
        help="folders of configs/, or 'all' (others than those named), 'vanilla' for "
        "the student alone; with seeds of its own where they differ from --seeds",
    )
    parser.add_argument(
        "--pairs",
        nargs="+",
        default=[],
        metavar="TEACHER_STUDENT",
        help="pairs of networks as in the configs' names, or 'all'",
    )
    parser.add_argument(
        "--dataset",
        default="cifar100",
        help="what the configs' names begin with [cifar100]",
    )
    parser.add_argument(
        "--run",
        action="append",
        default=[],
        metavar="NAME=CONFIG",
        help="a method and its config; without --methods the first is the student "
        "alone, which gains are over, else it adds a line to the table of its pair; "
        "repeat it for each",
    )
    parser.add_argument(
        "--teacher",
        metavar="CONFIG|CHECKPOINT",
        help="config to train the teacher with, once, or its checkpoint (*.pth) "
        "[that of each config]",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=WORK_DIR,
        help=f"folder of all runs and of the report [{WORK_DIR}]",
    )
    parser.add_argument(
        "--jobs", type=int, help="runs at a time [1 on a GPU, else 2 if cores allow]"
    )
    parser.add_argument(
        "--threads", type=int, help="threads of a run [cores / runs at a time]"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be trained, and stop"
    )
    parser.add_argument("--fresh", action="store_true", help="repeat finished runs")
    parser.add_argument("--amp", action="store_true", help="mixed precision")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        default={},
        metavar="KEY=VALUE",
        help="override settings of every config, such as train_cfg.max_epochs=2",
    )
    args = parser.parse_args(argv)
    args.argv = list(sys.argv[1:] if argv is None else argv)
    for option in ("jobs", "threads"):
        value = getattr(args, option)
        if value is not None and value < 1:
            parser.error(f"--{option} is {value}; expected 1 or more")
    if len(set(args.seeds)) < len(args.seeds):
        parser.error("--seeds names a seed twice; expected different ones")
    if bool(args.methods) != bool(args.pairs):
        parser.error("expected --methods and --pairs together")
    if not args.methods and not args.run:
        parser.error("nothing to compare; expected --methods and --pairs, or --run")
    if args.teacher and len(args.pairs) > 1:
        parser.error("--teacher is one for several --pairs; expected a single pair")
    try:
        methods = [parse_method(text) for text in args.methods]
    except ValueError as error:
        parser.error(str(error))
    args.methods = dict(methods)
    if len(args.methods) < len(methods):
        parser.error("--methods names a method twice; expected different ones")
    folders = [TEACHER]
    for run in args.run:
        name, _, config = run.partition("=")
        if not name or not config:
            parser.error(f"--run is {run}; expected NAME=CONFIG")
        if folder_name(name) in folders:
            parser.error(
                f"--run {name} would share the folder {folder_name(name)} with another "
                "run; expected different names, and none that is 'teacher'"
            )
        folders.append(folder_name(name))
    return args


def parse_method(text: str) -> Tuple[str, Optional[List[int]]]:
    """Read METHOD[:SEED,...].

    Args:
        text (str): What the user wrote.

    Returns:
        tuple[str, list[int] | None]: The method, and its seeds if it has its own.

    Raises:
        ValueError: Where it is something else.
    """
    found = re.fullmatch(r"([\w.-]+)(?::(\d+(?:,\d+)*))?", text)
    seeds = [int(seed) for seed in found[2].split(",")] if found and found[2] else None
    if not found or (seeds and len(set(seeds)) < len(seeds)):
        raise ValueError(
            f"--methods has {text}; expected METHOD or METHOD:SEED,SEED with different "
            "seeds, such as pckd:0,1,2"
        )
    return found[1], seeds


def folder_name(name: str) -> str:
    """The name of a method as that of a folder."""
    return re.sub(r"[^\w.-]+", "_", name)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def duration(seconds: float) -> str:
    """A time for people to read: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


@functools.lru_cache(None)
def read_config(path: str) -> Config:
    """The config of a file; not to be changed."""
    return Config.fromfile(path)


class Run:
    """One training: a config, with a seed, in a process and a folder of its own.

    ``FOLDER.py`` beside the folder is the config as it is trained, all settings merged
    in; ``finished.json`` in the folder says that the run reached its end.

    Args:
        name (str): Name of the method, which tells the run from others.
        config (str): Path of the config.
        seed (int): Seed of all random numbers.
        folder (Path): Where it is trained.
        options (dict): Settings that override those of the config.
        amp (bool): Whether in mixed precision.
        teacher (Path, optional): The teacher's checkpoint; None for the config's.
        after (Run, optional): The run that trains the teacher.
        group (str): What the user is told in front of the name.
    """

    def __init__(
        self,
        name: str,
        config: str,
        seed: int,
        folder: Path,
        options: dict,
        amp: bool = False,
        teacher: Optional[Path] = None,
        after: Optional["Run"] = None,
        group: str = "",
    ) -> None:
        if not Path(config).is_file():
            raise CompareError(
                f"There is no config {config} for {name}; expected a file."
            )
        self.name = name
        self.config = config
        self.seed = seed
        self.folder = folder
        self.amp = amp
        self.after = after
        self.group = group
        self.cfg = deepcopy(read_config(config))
        self.cfg.merge_from_dict({**options, "randomness.seed": seed})
        if self.distils and teacher is not None:
            self.cfg.merge_from_dict({"model.teacher_ckpt": str(teacher)})
        self.epochs = self.cfg.train_cfg.get("max_epochs")
        if self.epochs is None:
            raise CompareError(
                f"{config} has no train_cfg.max_epochs; expected a training in epochs."
            )
        self.process: Optional[subprocess.Popen] = None
        self.started = 0.0
        self.ended = 0.0
        self.epochs_before = 0

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
    def log(self) -> Path:
        """Path: What the process printed."""
        return self.folder / "output.log"

    @property
    def config_file(self) -> Path:
        """Path: The config as it is trained."""
        return self.folder.parent / f"{self.folder.name}.py"

    @property
    def is_finished(self) -> bool:
        """bool: Whether it was trained to its end."""
        return (self.folder / "finished.json").is_file()

    def curve(self) -> Dict[int, float]:
        """Accuracy after each epoch so far."""
        return read_curve(self.folder)

    def epochs_done(self) -> int:
        """Epochs trained so far."""
        if self.is_finished:
            return self.epochs
        # The step of a resumed run may lie behind the one that it was cut off at.
        return min(max(self.curve(), default=0), self.epochs)

    def text(self) -> str:
        """What ``FOLDER.py`` holds; the same text means the same training."""
        text = f"# {self.header}{', mixed precision' if self.amp else ''}\n"
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
            return f"finished, top-1 {self.curve()[self.epochs]:.2f}"
        done = self.epochs_done()
        return f"continued after epoch {done}" if done else "to do"

    def check_folder(self) -> None:
        """Refuse a folder that was not made by this tool.

        Raises:
            CompareError: Where it is one.
        """
        is_used = self.folder.is_dir() and any(self.folder.iterdir())
        if is_used and not self.config_file.is_file():
            raise CompareError(
                f"{self.folder} is there and was not made by this tool; expected no "
                "such folder: give another --work-dir."
            )

    def prepare(self, fresh: bool = False) -> None:
        """Write the config; make room where another one was trained.

        Args:
            fresh (bool): Whether to remove what was trained before.
        """
        if self.folder.is_dir() and any(self.folder.iterdir()):
            if fresh:
                shutil.rmtree(self.folder)
            elif self.is_changed():
                print(f"{self}: its config, seed or teacher has changed; trained anew.")
                set_aside(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config_file.write_text(self.text(), encoding="utf-8")

    def command(self) -> List[str]:
        """Command line of the process."""
        command = [sys.executable, str(ROOT / "tools" / "train.py")]
        command += [str(self.config_file), "--work-dir", str(self.folder), "--resume"]
        return command + ["--amp"] * self.amp

    def start(self, threads: Optional[int] = None) -> None:
        """Start the process.

        Args:
            threads (int, optional): Threads that it may use; None for what the
                environment says, else one.
        """
        environment = {"OMP_NUM_THREADS": "1", **os.environ}
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        self.epochs_before = self.epochs_done()
        self.started = time.monotonic()
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    def finish(self) -> float:
        """Check that the process did its work, and note it.

        Returns:
            float: The accuracy after the last epoch.

        Raises:
            CompareError: With the end of the log.
        """
        self.ended = time.monotonic()
        curve = self.curve()
        if self.process.returncode or self.epochs not in curve:
            lines = self.log.read_text(errors="replace").splitlines()[-20:]
            raise CompareError(
                "\n".join(lines)
                + f"\n\n{self} failed (exit status {self.process.returncode}); the end "
                f"of its log, {self.log}, is above. The same command goes on from here."
            )
        note = dict(accuracy=curve[self.epochs], **self.facts())
        # A file that is there is whole.
        part = self.folder / "finished.json.tmp"
        part.write_text(json.dumps(note) + "\n")
        part.replace(self.folder / "finished.json")
        return curve[self.epochs]

    def facts(self) -> Dict[str, Any]:
        """What the run was made with."""
        today = datetime.datetime.now(datetime.timezone.utc).date()
        return dict(
            commit=commit(),
            hardware=hardware(),
            software=software(),
            precision=precision(self.amp),
            date=today.isoformat(),
        )

    def note(self) -> Dict[str, Any]:
        """What :meth:`facts` was when it finished."""
        note = json.loads((self.folder / "finished.json").read_text())
        return {key: value for key, value in note.items() if key != "accuracy"}

    def stop(self) -> None:
        """End the process, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class TeacherTest(Run):
    """The test of a teacher's checkpoint that is there already.

    Args:
        config (str): Path of the teacher's config.
        checkpoint (Path): The checkpoint.
        folder (Path): Where it is tested.
        options (dict): Settings that override those of the config.
        group (str): What the user is told in front of the name.
    """

    def __init__(
        self, config: str, checkpoint: Path, folder: Path, options: dict, group: str
    ) -> None:
        super().__init__(TEACHER, config, 0, folder, options, group=group)
        self.tested = checkpoint
        self.epochs = 1

    def text(self) -> str:
        """What ``FOLDER.py`` holds; the same text means the same test."""
        digested = digest(str(self.tested))
        return f"# {self}, test of {digested}\n{self.cfg.pretty_text}"

    def command(self) -> List[str]:
        """Command line of the process."""
        command = [sys.executable, str(ROOT / "tools" / "test.py")]
        command += [str(self.config_file), str(self.tested)]
        out = str(self.folder / "metrics.json")
        return [*command, "--work-dir", str(self.folder), "--out", out]

    def curve(self) -> Dict[int, float]:
        """Its accuracy, as that of a single epoch."""
        path = self.folder / "metrics.json"
        if not path.is_file():
            return {}
        return {1: json.loads(path.read_text())["accuracy/top1"]}

    def facts(self) -> Dict[str, Any]:
        """What the test was made with."""
        return {**super().facts(), "tested": str(self.tested)}


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


def commit() -> Optional[str]:
    """The commit of this repository, None where git does not know."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None


def device_name() -> str:
    """The GPU, or the processor where there is none."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


@functools.lru_cache(None)
def hardware() -> str:
    """The GPU, or the processor and its cores."""
    if torch.cuda.is_available():
        return device_name()
    return f"{device_name()}, {cores()} {'core' if cores() == 1 else 'cores'}"


@functools.lru_cache(None)
def software() -> str:
    """Versions of what results depend on."""
    versions = [f"Python {platform.python_version()}", f"torch {torch.__version__}"]
    for package in ("mmengine", "mmpretrain", "mmrazor"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(versions)


def precision(amp: bool) -> str:
    """What tools/train.py computes in."""
    if not amp:
        return "float32"
    kind = "float16" if torch.cuda.is_available() else "bfloat16"
    return f"{kind} autocast"


class Progress:
    """Lines of finished runs, and one live line where the output is a terminal."""

    def __init__(self, runs: Sequence[Run], jobs: int) -> None:
        self.runs = runs
        self.jobs = jobs
        self.live = sys.stdout.isatty()

    def seconds_left(self) -> Optional[float]:
        """Estimate from the runs that this call started; None before there is any."""
        rates: Dict[Path, List[float]] = {}
        done = {id(run): run.epochs_done() for run in self.runs}
        for run in self.runs:
            epochs = done[id(run)] - run.epochs_before
            if run.process is not None and epochs > 0:
                seconds = (run.ended or time.monotonic()) - run.started
                rates.setdefault(run.folder.parent, []).append(seconds / epochs)
        if not rates:
            return None
        mean = {name: sum(values) / len(values) for name, values in rates.items()}
        unknown = max(mean.values())
        left = [
            (run.epochs - done[id(run)]) * mean.get(run.folder.parent, unknown)
            for run in self.runs
        ]
        # No run is shared out, so the longest one is a lower bound.
        return max(sum(left) / self.jobs, max(left))

    def finished(self, run: Run, accuracy: float, before: bool = False) -> None:
        """Print the line of a run."""
        line = f"{run}: top-1 {accuracy:.2f}"
        if before:
            self._print(f"{line} (finished before)")
            return
        done = sum(other.is_finished for other in self.runs)
        line += f", {duration(run.ended - run.started)}  [{done}/{len(self.runs)} runs"
        left = self.seconds_left()
        if left is not None and done < len(self.runs):
            line += f", about {duration(left)} left"
        self._print(line + "]")

    def failed(self, run: Run) -> None:
        """Print the line of a run that failed."""
        self._print(f"{run}: failed, see {run.log}; the others go on")

    def tick(self) -> None:
        """Renew the live line."""
        if not self.live:
            return
        epochs = sum(run.epochs for run in self.runs)
        done = sum(run.epochs_done() for run in self.runs)
        line = f"{100 * done / epochs:3.0f}% of all epochs"
        left = self.seconds_left()
        if left is not None:
            line += f", about {duration(left)} left"
        running = [
            f"{run} {run.epochs_done()}/{run.epochs}"
            for run in self.runs
            if run.process is not None and run.process.poll() is None
        ]
        line = f"{line} | {'; '.join(running)}"
        width = shutil.get_terminal_size().columns - 1
        print("\r\033[K" + line[:width], end="", flush=True)

    def clear(self) -> None:
        """Take the live line away."""
        if self.live:
            print("\r\033[K", end="", flush=True)

    def _print(self, line: str) -> None:
        self.clear()
        print(line, flush=True)


def train_all(
    runs: Sequence[Run],
    jobs: int,
    threads: Optional[int] = None,
    fresh: bool = False,
    refresh: Optional[Callable[[Run], None]] = None,
) -> Dict[str, str]:
    """Train what is not finished, several runs at a time.

    Args:
        runs (Sequence[Run]): The runs, in this order; each waits for the one that
            trains its teacher.
        jobs (int): Runs at a time.
        threads (int, optional): Threads of a run.
        fresh (bool): Whether to repeat finished runs.
        refresh (callable, optional): Called with each run that was trained.

    Returns:
        dict[str, str]: The runs that failed, with the end of their logs.
    """
    progress = Progress(runs, jobs)
    waiting, running, failures = list(runs), [], {}
    try:
        while waiting or running:
            for run in list(running):
                if run.process.poll() is None:
                    continue
                running.remove(run)
                try:
                    accuracy = run.finish()
                except CompareError as error:
                    failures[str(run)] = str(error)
                    progress.failed(run)
                    continue
                progress.finished(run, accuracy)
                if refresh is not None:
                    refresh(run)
            for run in list(waiting):
                if run.after is not None and str(run.after) in failures:
                    waiting.remove(run)
                    failures[str(run)] = f"{run} was not trained: {run.after} failed."
                    continue
                if run.after in [*waiting, *running] or len(running) == jobs:
                    continue
                waiting.remove(run)
                run.prepare(fresh)
                if run.is_finished:
                    progress.finished(run, run.curve()[run.epochs], before=True)
                    continue
                run.start(threads)
                running.append(run)
            progress.tick()
            if running:
                time.sleep(1 if progress.live else 0.3)
    finally:
        progress.clear()
        for run in running:
            run.stop()
    return failures


@dataclass
class Line:
    """A line of a table and its runs."""

    name: str
    config: str
    runs: List[Run]
    command: str = ""
    published: Optional[float] = None

    def method(self) -> Method:
        """Read back what is finished."""
        done = [run for run in self.runs if run.is_finished]
        previews = {run.seed: read_preview(run.folder) for run in done}
        return Method(
            self.name,
            {run.seed: run.curve() for run in done},
            {seed: records for seed, records in previews.items() if records},
            {run.seed: run.note() for run in done},
            self.config,
            self.command,
            self.published,
        )


@dataclass
class Plan:
    """All tables: their names, lines and teachers."""

    lines: Dict[str, List[Line]] = field(default_factory=dict)
    teachers: Dict[str, Line] = field(default_factory=dict)

    def runs(self) -> List[Run]:
        """Each run once: table by table, teachers first, then seed by seed."""
        runs: Dict[Path, Run] = {}
        for name, lines in self.lines.items():
            mine = self.teachers[name].runs if name in self.teachers else []
            seeds = dict.fromkeys(run.seed for line in lines for run in line.runs)
            students = [run for line in lines for run in line.runs]
            by_seed = [run for seed in seeds for run in students if run.seed == seed]
            for run in [*mine, *by_seed]:
                runs.setdefault(run.folder, run)
        return list(runs.values())

    def tables(self) -> List[Table]:
        """Read back what is finished."""
        return [
            Table(
                [line.method() for line in lines],
                self.teachers[name].method() if name in self.teachers else None,
                name,
            )
            for name, lines in self.lines.items()
        ]

    def names(self, run: Run) -> List[str]:
        """Names of the tables that a run is in."""
        return [
            name
            for name, lines in self.lines.items()
            if any(
                run in line.runs
                for line in [*lines, *filter(None, [self.teachers.get(name)])]
            )
        ]


class Planner:
    """Make the runs that a command line asks for.

    Args:
        args (Namespace): The command line's settings.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.shared: Dict[Path, Run] = {}
        self.teachers: Dict[str, Line] = {}

    def plan(self) -> Plan:
        """Make all tables.

        Returns:
            Plan: The tables.

        Raises:
            CompareError: Where a config or a checkpoint is missing.
        """
        if not self.args.methods:
            return self._plan_of_runs()
        plan, by_pair = Plan(), self._methods_by_pair()
        added = self._added_runs(list(by_pair))
        for pair, methods in by_pair.items():
            name = f"{self.args.dataset}_{pair}"
            teacher, lines = None, []
            for method, seeds in methods.items():
                config = str(config_path(method, name))
                label = published.METHODS.get(method, method)
                line, teacher = self._distilling(label, method, config, seeds, name)
                line.command = self._command(method, pair, seeds)
                lines.append(line)
                plan.teachers.setdefault(name, teacher)
            for label, config in added.get(pair, {}).items():
                folder = folder_name(label)
                if folder in methods:
                    raise CompareError(
                        f"--run {label} would share a folder with the method {folder}; "
                        "expected another name."
                    )
                line, teacher = self._distilling(
                    label, folder, config, self.args.seeds, name
                )
                lines.append(line)
                plan.teachers.setdefault(name, teacher)
            if plan.teachers.get(name) is None:
                plan.teachers.pop(name, None)
            used = dict.fromkeys(run.seed for line in lines for run in line.runs)
            seeds = self.args.methods.get(VANILLA) or list(used) or self.args.seeds
            plan.lines[name] = [self._alone(pair, seeds), *lines]
        return plan

    def _plan_of_runs(self) -> Plan:
        """One table of the runs that are named one by one."""
        args = self.args
        plan, after, checkpoint = Plan(), None, self._checkpoint()
        if args.teacher is not None and checkpoint is None:
            folder = args.work_dir / TEACHER
            after = Run(TEACHER, args.teacher, 0, folder, args.cfg_options, args.amp)
            checkpoint = after.checkpoint
            plan.teachers[""] = self._line(TEACHER, args.teacher, [after])
        lines = []
        for name, config in (run.split("=", 1) for run in args.run):
            runs = []
            for seed in args.seeds:
                folder = args.work_dir / folder_name(name) / f"seed_{seed}"
                run = self._run(name, config, seed, folder, teacher=checkpoint)
                run.after = after if run.distils else None
                runs.append(run)
            lines.append(self._line(name, config, runs))
        plan.lines[""] = lines
        return plan

    def _checkpoint(self) -> Optional[Path]:
        """The teacher that the user named, if it is a checkpoint."""
        teacher = self.args.teacher
        if teacher is None or not teacher.endswith(".pth"):
            return None
        if not Path(teacher).is_file():
            raise CompareError(
                f"There is no teacher {teacher}; expected a checkpoint, or a config "
                "to train it with."
            )
        return Path(teacher)

    def _run(self, name: str, config: str, seed: int, folder: Path, **settings) -> Run:
        args = self.args
        return Run(name, config, seed, folder, args.cfg_options, args.amp, **settings)

    def _line(self, name: str, config: str, runs: List[Run]) -> Line:
        """A line, with the published value only beside the published setting."""
        line = Line(name, config, runs)
        epochs = read_config(config).train_cfg.get("max_epochs")
        if not self.args.cfg_options and epochs == published.EPOCHS:
            line.published = published.published_of(config)
        return line

    def _methods_by_pair(self) -> Dict[str, Dict[str, List[int]]]:
        """Seeds of each method of each pair."""
        args = self.args
        named = {m: s for m, s in args.methods.items() if m not in ("all", VANILLA)}
        missing = [m for m in named if not (CONFIGS / m).is_dir()]
        if missing:
            raise CompareError(
                f"There is no folder {CONFIGS / missing[0]}; expected a method of "
                f"{', '.join(all_methods(args.dataset))}, and to be called in the "
                "repository."
            )
        others = []
        if "all" in args.methods:
            others = [m for m in all_methods(args.dataset) if m not in named]
            named.update(dict.fromkeys(others, args.methods["all"]))
        pairs = [pair for pair in args.pairs if pair != "all"]
        if "all" in args.pairs:
            some_methods = named or all_methods(args.dataset)
            of_methods = [pairs_of(m, args.dataset) for m in some_methods]
            everything = dict.fromkeys(pair for some in of_methods for pair in some)
            pairs += [pair for pair in everything if pair not in pairs]
        result: Dict[str, Dict[str, List[int]]] = {}
        for pair in dict.fromkeys(pairs):
            student_config(args.dataset, pair)
            result[pair] = {}
            for method, seeds in named.items():
                path = config_path(method, f"{args.dataset}_{pair}")
                if path.is_file():
                    result[pair][method] = seeds or args.seeds
                elif method not in others and pair in args.pairs:
                    raise CompareError(f"There is no config {path}; expected a file.")
        return result

    def _added_runs(self, pairs: Sequence[str]) -> Dict[str, Dict[str, str]]:
        """Names and configs of --run for each pair."""
        added: Dict[str, Dict[str, str]] = {}
        for name, config in (run.split("=", 1) for run in self.args.run):
            fitting = [pair for pair in pairs if pair in Path(config).stem]
            if len(pairs) == 1:
                fitting = list(pairs)
            if not fitting:
                raise CompareError(
                    f"--run {name}: the name of {config} holds none of the pairs "
                    f"{', '.join(pairs)}; expected one, to know its table."
                )
            added.setdefault(max(fitting, key=len), {})[name] = config
        return added

    def _alone(self, pair: str, seeds: Sequence[int]) -> Line:
        """The student alone, trained once for all pairs that share it."""
        config = student_config(self.args.dataset, pair)
        runs = []
        for seed in seeds:
            folder = self.args.work_dir / VANILLA / config.stem / f"seed_{seed}"
            if folder not in self.shared:
                self.shared[folder] = self._run(
                    VANILLA, str(config), seed, folder, group=config.stem
                )
            runs.append(self.shared[folder])
        network = config.stem.removeprefix(f"{self.args.dataset}_")
        line = self._line(f"student alone, {network}", str(config), runs)
        line.command = self._command(VANILLA, pair, seeds)
        return line

    def _distilling(
        self, label: str, name: str, config: str, seeds: Sequence[int], group: str
    ) -> Tuple[Line, Optional[Line]]:
        """A line of a method, and that of its teacher."""
        teacher, checkpoint = None, None
        if Path(config).is_file():
            teacher, checkpoint = self._teacher(read_config(config), config)
        after = teacher.runs[0] if teacher else None
        if isinstance(after, TeacherTest):
            after = None
        runs = [
            self._run(
                name,
                config,
                seed,
                self.args.work_dir / group / name / f"seed_{seed}",
                teacher=checkpoint,
                after=after,
                group=group,
            )
            for seed in seeds
        ]
        return self._line(label, config, runs), teacher

    def _teacher(
        self, cfg: Config, config: str
    ) -> Tuple[Optional[Line], Optional[Path]]:
        """The teacher's line, and its checkpoint unless it is that of the config."""
        if "teacher_ckpt" not in cfg.model:
            return None, None
        source = cfg.model.get("teacher_config")
        checkpoint = self._checkpoint()
        if self.args.teacher is not None and checkpoint is None:
            source = self.args.teacher
        if source is None:
            return None, checkpoint
        stem = Path(source).stem
        folder = self.args.work_dir / "teachers" / stem
        options = self.args.cfg_options
        trained = self.shared.get(folder)
        if trained is None and Path(source).is_file():
            trained = Run(
                TEACHER, source, 0, folder, options, self.args.amp, group=stem
            )
        # Once begun, the teacher stays the one that is trained here.
        begun = trained is not None and trained.config_file.is_file()
        own = cfg.model.teacher_ckpt
        if checkpoint is None and self.args.teacher is None and not begun:
            checkpoint = Path(own) if own and Path(own).is_file() else None
        network = stem.removeprefix(f"{self.args.dataset}_")
        label = f"teacher, {network}"
        if checkpoint is not None:
            folder = self.args.work_dir / "teachers" / f"{stem}_test"
            if folder not in self.shared:
                self.shared[folder] = TeacherTest(
                    source, checkpoint, folder, options, stem
                )
            line = self._line(label, source, [self.shared[folder]])
            line.command = f"python tools/test.py {source} {checkpoint}"
            return line, checkpoint
        if trained is None:
            if own and "://" in own:
                return None, None
            raise CompareError(
                f"{config}: there is neither its teacher_ckpt {own} nor its "
                f"teacher_config {source}; expected one of them."
            )
        self.shared[folder] = trained
        line = self._line(label, source, [trained])
        line.command = shlex.join(
            ["python", "tools/train.py", source, *["--amp"] * self.args.amp]
            + ["--cfg-options", "randomness.seed=0", *self._options()]
        )
        return line, trained.checkpoint

    def _options(self) -> List[str]:
        return [f"{key}={value}" for key, value in self.args.cfg_options.items()]

    def _command(self, method: str, pair: str, seeds: Sequence[int]) -> str:
        """What trains one line of a table, and what it needs."""
        args = self.args
        command = ["python", "tools/compare.py", "--methods", method, "--pairs", pair]
        command += ["--seeds", *map(str, seeds)]
        if args.dataset != "cifar100":
            command += ["--dataset", args.dataset]
        if args.teacher is not None:
            command += ["--teacher", args.teacher]
        if args.work_dir != WORK_DIR:
            command += ["--work-dir", str(args.work_dir)]
        command += ["--amp"] * args.amp
        if args.cfg_options:
            command += ["--cfg-options", *self._options()]
        return shlex.join(command)


def config_path(method: str, name: str) -> Path:
    """Path of a run config."""
    return CONFIGS / method / f"{name}.py"


def student_config(dataset: str, pair: str) -> Path:
    """The config of a pair's student alone.

    Args:
        dataset (str): What the configs' names begin with.
        pair (str): The pair, TEACHER_STUDENT, where a name may hold underscores.

    Returns:
        Path: The config of configs/vanilla.

    Raises:
        CompareError: Where there is none.
    """
    parts = pair.split("_")
    for begin in range(1, len(parts)):
        path = config_path(VANILLA, f"{dataset}_{'_'.join(parts[begin:])}")
        if path.is_file():
            return path
    raise CompareError(
        f"The pair {pair} has no config of its student alone; expected "
        f"TEACHER_STUDENT with a {config_path(VANILLA, f'{dataset}_STUDENT')}."
    )


def pairs_of(method: str, dataset: str) -> List[str]:
    """The pairs that a method has configs of."""
    pairs = []
    for path in sorted((CONFIGS / method).glob(f"{dataset}_*.py")):
        pair = path.stem.removeprefix(f"{dataset}_")
        try:
            student_config(dataset, pair)
        except CompareError:
            continue
        pairs.append(pair)
    return pairs


def all_methods(dataset: str = "cifar100") -> List[str]:
    """The methods that have configs, in the order of tables."""
    folders = [path.name for path in sorted(CONFIGS.glob("*")) if path.is_dir()]
    found = [
        name
        for name in folders
        if name != VANILLA and name[0] != "_" and pairs_of(name, dataset)
    ]
    known = [name for name in published.METHODS if name in found]
    return known + [name for name in found if name not in known]


def make_plan(args: argparse.Namespace) -> Plan:
    """The tables that a command line asks for.

    Args:
        args (Namespace): The command line's settings.

    Returns:
        Plan: The tables.

    Raises:
        CompareError: Where something is missing, or a folder is not of this tool.
    """
    plan = Planner(args).plan()
    for run in plan.runs():
        run.check_folder()
    return plan


def describe(plan: Plan) -> str:
    """What would be trained, with which config, and what is done already."""
    runs = plan.runs()
    states = [run.state() for run in runs]
    lines = [
        f"{run}: {state}  [{run.config}]"
        for run, state in zip(runs, states, strict=True)
    ]
    done = sum(state.startswith("finished") for state in states)
    return "\n".join([*lines, f"{len(runs)} runs, {done} finished"])


def compare(
    args: argparse.Namespace, title: str, notes: Sequence[str], command: str
) -> Tuple[str, Dict[str, str]]:
    """Train all runs and write the report, anew after each run.

    Args:
        args (Namespace): The command line's settings.
        title (str): Headline of the report.
        notes (Sequence[str]): Paragraphs of the report that explain it.
        command (str): What was called, for the report.

    Returns:
        tuple[str, dict[str, str]]: The tables, empty where no run is finished; the
        runs that failed, with the end of their logs.

    Raises:
        CompareError: Where something is missing.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise CompareError(
            "The report's pictures need matplotlib, which is not installed: pip "
            "install matplotlib"
        )
    plan = make_plan(args)
    runs = plan.runs()
    jobs = args.jobs or (1 if torch.cuda.is_available() else min(2, cores()))
    threads = args.threads
    if threads is None and "OMP_NUM_THREADS" not in os.environ:
        threads = max(1, cores() // jobs)
    print(f"{len(runs)} runs, {jobs} at a time, in {args.work_dir}", flush=True)

    def report(run: Optional[Run] = None) -> str:
        done = [other for other in runs if other.is_finished]
        if not done:
            return ""
        return write_report(
            args.work_dir,
            title,
            plan.tables(),
            notes,
            facts(command, done, args),
            draw=None if run is None else plan.names(run),
        )

    failures = train_all(runs, jobs, threads, args.fresh, report)
    return report(), failures


def facts(
    command: str, runs: Sequence[Run], args: argparse.Namespace
) -> Dict[str, Any]:
    """What the report says of its making."""
    notes = [run.note() for run in runs]

    def values(key: str, default: str) -> str:
        return ", ".join(sorted({note.get(key) or default for note in notes}))

    result = {
        "command": command,
        "commit": values("commit", "unknown"),
        "hardware": values("hardware", hardware()),
        "software": values("software", software()),
        "precision": values("precision", precision(args.amp)),
    }
    if args.cfg_options:
        pairs = [f"{key}={value}" for key, value in args.cfg_options.items()]
        result["options"] = shlex.join(pairs)
    return result


def main(
    argv: Optional[Sequence[str]] = None,
    title: str = "Comparison",
    notes: Sequence[str] = (),
    command: Optional[str] = None,
) -> int:
    """Compare, print the table and where the report is.

    Args:
        argv (Sequence[str], optional): The command line; None for the process's.
        title (str): Headline of the report.
        notes (Sequence[str]): Paragraphs of the report that explain it.
        command (str, optional): What was called, for the report; None for this tool
            with ``argv``.

    Returns:
        int: Exit status.
    """
    args = parse_args(argv)
    command = command or shlex.join(["python", "tools/compare.py", *args.argv])

    def end(number, frame):
        raise KeyboardInterrupt

    # The runs must not outlive this process.
    before = signal.signal(signal.SIGTERM, end)
    try:
        if args.dry_run:
            print(describe(make_plan(args)))
            return 0
        tables, failures = compare(args, title, notes, command)
    except CompareError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    if tables:
        print(f"\n{tables}\n\nReport: {args.work_dir / 'report.md'}")
    if failures:
        print("\n" + "\n\n".join(failures.values()), file=sys.stderr)
        print(f"\n{len(failures)} failed: {'; '.join(failures)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
