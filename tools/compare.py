"""Compare methods: train each of them over several seeds, then write a report.

python tools/compare.py --teacher configs/vanilla/cifar100_resnet56.py \\
    --run alone=configs/vanilla/cifar100_resnet20.py \\
    --run KD=configs/kd/cifar100_resnet56_resnet20.py \\
    --run PCKD=configs/pckd/cifar100_resnet56_resnet20.py \\
    --seeds 0 1 2 --work-dir work_dirs/resnet56_resnet20

Started again after an interruption, the same command goes on: runs that are finished
are not repeated, a run that was cut off continues from its last checkpoint. A run
whose config, seed or teacher has changed is trained anew; what was there is kept, as
NAME.old. The accuracy of a run is that after its last epoch.
"""

import argparse
import hashlib
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
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import torch
from mmengine.config import Config, DictAction

from pckd_mm.analysis import Method, read_curve, read_preview, write_report

ROOT = Path(__file__).resolve().parents[1]
TEACHER = "teacher"


class CompareError(Exception):
    """What ends a comparison, in one sentence for the user."""


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--run",
        action="append",
        required=True,
        metavar="NAME=CONFIG",
        help="a method and its config; the first is the student alone, which gains "
        "are over; repeat it for each method",
    )
    parser.add_argument(
        "--teacher",
        metavar="CONFIG|CHECKPOINT",
        help="config to train the teacher with, once, or its checkpoint (*.pth) "
        "[teacher_ckpt of each config]",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path("work_dirs/compare"),
        help="folder of all runs and of the report [work_dirs/compare]",
    )
    parser.add_argument(
        "--jobs", type=int, help="runs at a time [1 on a GPU, else 2 if cores allow]"
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
    if args.jobs is not None and args.jobs < 1:
        parser.error(f"--jobs is {args.jobs}; expected 1 or more")
    if len(set(args.seeds)) < len(args.seeds):
        parser.error("--seeds names a seed twice; expected different ones")
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


class Run:
    """One training: a config, with a seed, in a process and a folder of its own.

    ``FOLDER.py`` beside the folder is the config as it is trained, all settings merged
    in; ``finished.json`` in the folder says that the run reached its end.
    """

    def __init__(
        self,
        name: str,
        config: str,
        seed: int,
        folder: Path,
        options: dict,
        amp: bool = False,
    ) -> None:
        if not Path(config).is_file():
            raise CompareError(
                f"There is no config {config} for {name}; expected a file."
            )
        self.name = name
        self.seed = seed
        self.folder = folder
        self.amp = amp
        self.cfg = Config.fromfile(config)
        self.cfg.merge_from_dict({**options, "randomness.seed": seed})
        self.epochs = self.cfg.train_cfg.get("max_epochs")
        if self.epochs is None:
            raise CompareError(
                f"{config} has no train_cfg.max_epochs; expected a training in epochs."
            )
        self.process: Optional[subprocess.Popen] = None
        self.started = 0.0
        self.ended = 0.0
        self.epochs_before = 0

    def __str__(self) -> str:
        return self.name if self.name == TEACHER else f"{self.name}, seed {self.seed}"

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

    def prepare(self, teacher: Optional[Path], fresh: bool = False) -> None:
        """Write the config; make room where another one was trained.

        Args:
            teacher (Path, optional): The teacher's checkpoint; None for that of the
                config.
            fresh (bool): Whether to remove what was trained before.
        """
        text = f"# {self}{', mixed precision' if self.amp else ''}\n"
        if self.distils:
            if teacher is not None:
                self.cfg.merge_from_dict({"model.teacher_ckpt": str(teacher)})
            text += f"# The teacher: {digest(self.cfg.model.teacher_ckpt)}\n"
        text += self.cfg.pretty_text
        is_ours = self.config_file.is_file()
        if self.folder.is_dir() and any(self.folder.iterdir()):
            if not is_ours:
                raise CompareError(
                    f"{self.folder} is there and was not made by this tool; expected "
                    "no such folder: give another --work-dir."
                )
            if fresh:
                shutil.rmtree(self.folder)
            elif self.config_file.read_text(encoding="utf-8") != text:
                print(f"{self}: its config, seed or teacher has changed; trained anew.")
                set_aside(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config_file.write_text(text, encoding="utf-8")

    def start(self, threads: int) -> None:
        """Start the process."""
        command = [sys.executable, str(ROOT / "tools" / "train.py")]
        command += [str(self.config_file), "--work-dir", str(self.folder), "--resume"]
        if self.amp:
            command.append("--amp")
        self.epochs_before = self.epochs_done()
        self.started = time.monotonic()
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"OMP_NUM_THREADS": str(threads), **os.environ},
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
        note = dict(accuracy=curve[self.epochs], commit=commit())
        # A file that is there is whole.
        part = self.folder / "finished.json.tmp"
        part.write_text(json.dumps(note) + "\n")
        part.replace(self.folder / "finished.json")
        return curve[self.epochs]

    def stop(self) -> None:
        """End the process, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


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


class Progress:
    """Lines of finished runs, and one live line where the output is a terminal."""

    def __init__(self, runs: Sequence[Run], jobs: int) -> None:
        self.runs = runs
        self.jobs = jobs
        self.live = sys.stdout.isatty()

    def seconds_left(self) -> Optional[float]:
        """Estimate from the runs that this call started; None before there is any."""
        rates: Dict[str, List[float]] = {}
        done = {id(run): run.epochs_done() for run in self.runs}
        for run in self.runs:
            epochs = done[id(run)] - run.epochs_before
            if run.process is not None and epochs > 0:
                seconds = (run.ended or time.monotonic()) - run.started
                rates.setdefault(run.name, []).append(seconds / epochs)
        if not rates:
            return None
        mean = {name: sum(values) / len(values) for name, values in rates.items()}
        unknown = max(mean.values())
        left = [
            (run.epochs - done[id(run)]) * mean.get(run.name, unknown)
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
    teacher: Optional[Path] = None,
    fresh: bool = False,
) -> None:
    """Train what is not finished, several runs at a time.

    Args:
        runs (Sequence[Run]): The runs, in this order; those that distil wait for the
            one named 'teacher', if there is one.
        jobs (int): Runs at a time.
        teacher (Path, optional): The teacher's checkpoint; None for those of the
            configs.
        fresh (bool): Whether to repeat finished runs.

    Raises:
        CompareError: Where a run fails; the others are stopped.
    """
    progress = Progress(runs, jobs)
    threads = max(1, cores() // jobs)
    waiting, running = list(runs), []
    try:
        while waiting or running:
            for run in list(running):
                if run.process.poll() is not None:
                    running.remove(run)
                    progress.finished(run, run.finish())
            for run in list(waiting):
                blocked = run.distils and any(
                    other.name == TEACHER for other in [*waiting, *running]
                )
                if blocked or len(running) == jobs:
                    continue
                waiting.remove(run)
                run.prepare(teacher, fresh)
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


def collect(name: str, runs: Sequence[Run]) -> Method:
    """Read back the runs of a method."""
    mine = [run for run in runs if run.name == name]
    previews = {run.seed: read_preview(run.folder) for run in mine}
    return Method(
        name,
        {run.seed: run.curve() for run in mine},
        {seed: records for seed, records in previews.items() if records},
    )


def compare(
    args: argparse.Namespace, title: str, notes: Sequence[str], command: str
) -> str:
    """Train all runs and write the report.

    Args:
        args (Namespace): The command line's settings.
        title (str): Headline of the report.
        notes (Sequence[str]): Paragraphs of the report that explain it.
        command (str): What was called, for the report.

    Returns:
        str: The table.

    Raises:
        CompareError: Where something is missing or a run fails.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise CompareError(
            "The report's pictures need matplotlib, which is not installed: pip "
            "install matplotlib"
        )
    runs: List[Run] = []
    checkpoint = None
    if args.teacher is not None and args.teacher.endswith(".pth"):
        checkpoint = Path(args.teacher)
        if not checkpoint.is_file():
            raise CompareError(
                f"There is no teacher {checkpoint}; expected a checkpoint, or a config "
                "to train it with."
            )
    elif args.teacher is not None:
        folder = args.work_dir / TEACHER
        runs.append(Run(TEACHER, args.teacher, 0, folder, args.cfg_options, args.amp))
        checkpoint = runs[0].checkpoint
    methods = dict(run.split("=", 1) for run in args.run)
    for seed in args.seeds:
        for name, config in methods.items():
            folder = args.work_dir / folder_name(name) / f"seed_{seed}"
            runs.append(Run(name, config, seed, folder, args.cfg_options, args.amp))

    on_gpu = torch.cuda.is_available()
    jobs = args.jobs or (1 if on_gpu else min(2, cores()))
    print(f"{len(runs)} runs, {jobs} at a time, in {args.work_dir}", flush=True)
    train_all(runs, jobs, checkpoint, args.fresh)

    trained = [run for run in runs if run.name == TEACHER]
    return write_report(
        args.work_dir,
        title,
        [collect(name, runs) for name in methods],
        collect(TEACHER, trained) if trained else None,
        notes,
        facts(command, runs),
    )


def facts(command: str, runs: Sequence[Run]) -> Dict[str, Any]:
    """What the report says of its making."""
    notes = [json.loads((run.folder / "finished.json").read_text()) for run in runs]
    commits = sorted({note["commit"] for note in notes if note["commit"]})
    return {
        "command": command,
        "commit": ", ".join(commits) or "unknown",
        "torch": torch.__version__,
        "device": device_name(),
    }


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
        table = compare(args, title, notes, command)
    except CompareError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    print(f"\n{table}\n\nReport: {args.work_dir / 'report.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
