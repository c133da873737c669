"""Runs that are cut off in every way end, by --resume, as if they had not been.

Prints a table of what was tried (pytest -s). PCKD_MM_KILLS is the number of kills at
random moments; 20 were made for the table in the documentation.
"""

import contextlib
import functools
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional

import psutil
import pytest

from pckd_mm.analysis import read_curve, read_preview
from pckd_mm.engine.interruptions import TERMINATED
from pckd_mm.utils.checkpoint import read_checkpoint
from tests.builders import ROOT
from tests.preloaded import Run, preloaded
from tests.test_tools import test_train
from tests.test_tools.test_train import (
    CONFIG,
    SMALL,
    assert_same,
    command,
    environment,
    two_processes,
)

teacher = test_train.teacher

KILLS = int(os.environ.get("PCKD_MM_KILLS", "4"))
ALL = KILLS >= 20  # of the cases, else some
EPOCHS, STEPS = 4, 12
LAST = f"epoch_{EPOCHS}.pth"
ENDED = re.compile(rf"Epoch\(val\) \[{EPOCHS}\].*top1")
TERMINATED_RUN = (
    r"SIGTERM ended the run (at its start|in epoch \d, after iteration \d+); "
    r".*--resume (goes|beg)"
)


@dataclass
class Row:
    """What became of the runs that one fault cut off."""

    tried: int = 0
    survived: int = 0
    lost: List[int] = field(default_factory=list)  # steps that were done again

    def __str__(self) -> str:
        lost = [steps / STEPS for steps in self.lost]
        mean = sum(lost) / max(len(lost), 1)
        text = f"{max(lost, default=0):.1f} epochs at most, {mean:.1f} on average"
        return f"{self.tried} | {self.survived} | {text}"


@pytest.fixture(scope="module")
def table():
    rows: Dict[str, Row] = {}
    yield rows
    print("\n| fault | tried | survived | lost |\n|---|---|---|---|")
    for fault, row in rows.items():
        print(f"| {fault} | {row} |")


class Trial:
    """A run that is cut off again and again.

    Args:
        folder (Path): An empty folder.
        teacher (Path): The teacher's checkpoint.
    """

    def __init__(self, folder: Path, teacher: Path) -> None:
        self.folder = folder
        self.work_dir = folder / "work"
        self.options = [
            *SMALL,
            f"model.teacher_ckpt={teacher}",
            f"train_cfg.max_epochs={EPOCHS}",
            "default_hooks.logger.interval=1",
        ]
        self.starts = 0
        self.cuts = 0
        self.lost: List[int] = []
        self.done: Optional[int] = None  # steps when it was cut off

    def start(self, *options: str, resume: str = "--resume", **faults: object) -> Run:
        """Start or resume it, and wait for its first step."""
        self.starts += 1
        args = ["tools/train.py", CONFIG, "--work-dir", str(self.work_dir)]
        args += [*resume.split("="), "--cfg-options", *self.options, *options]
        log = self.folder / f"{self.starts}.log"
        run = preloaded().start(args, log, **faults)
        wait_until(run, lambda: "Epoch(train)" in run.text() or run.poll() is not None)
        resumed = re.findall(r"resumed epoch: \d+, iter: (\d+)", run.text())
        self.begun_at = int(resumed[-1]) if resumed else 0
        if self.done is not None:
            self.lost.append(self.done - self.begun_at)
            self.done = None
        return run

    def cut(self, run: Run) -> None:
        """Note that a run has ended before its end."""
        run.wait()
        self.cuts += 1
        self.done = self.begun_at
        for epoch, step in re.findall(
            r"Epoch\(train\) +\[(\d+)\]\[ *(\d+)/", run.text()
        ):
            self.done = (int(epoch) - 1) * STEPS + int(step)

    def finish(self, *options: str) -> str:
        """Resume it to its end."""
        run = self.start(*options)
        assert run.wait() == 0, run.text()[-3000:]
        return run.text()

    def assert_like(self, whole: "Trial") -> None:
        """Compare bit by bit with the run that was not cut off."""
        names = sorted(path.name for path in self.work_dir.glob("*.*"))
        assert names == sorted(path.name for path in whole.work_dir.glob("*.*"))
        found, expected = (
            read_checkpoint(str(trial.work_dir / LAST)) for trial in (self, whole)
        )
        for part in ("state_dict", "optimizer", "param_schedulers"):
            assert_same(found[part], expected[part], part)
        assert found["meta"]["iter"] == EPOCHS * STEPS
        assert read_curve(self.work_dir) == read_curve(whole.work_dir)
        assert read_preview(self.work_dir) == read_preview(whole.work_dir)
        found, expected = (
            read_checkpoint(str(trial.work_dir / LAST.replace(".", "_student.")))
            for trial in (self, whole)
        )
        assert_same(found["state_dict"], expected["state_dict"], "student")

    def count(self, row: Row, whole: "Trial") -> None:
        """Finish, compare and count."""
        row.tried += self.cuts
        self.finish()
        self.assert_like(whole)
        row.survived += self.cuts
        row.lost += self.lost


def wait_until(run: Run, condition, timeout: float = 120) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert run.poll() is None, run.text()[-3000:]
        assert time.monotonic() < deadline, run.text()[-3000:]
        time.sleep(0.002)


@pytest.fixture(scope="module")
def trial(teacher, tmp_path_factory):
    """Make a trial."""
    return lambda: Trial(tmp_path_factory.mktemp("trial"), teacher)


@pytest.fixture(scope="module")
def whole(trial):
    """The run that is not cut off; the seconds that it trained; its steps of saving."""
    run = trial()
    record = run.folder / "record"
    started = run.start(record=str(record))
    begin = time.monotonic()
    wait_until(started, lambda: ENDED.search(started.text()))
    run.seconds = time.monotonic() - begin
    assert started.wait() == 0, started.text()[-3000:]
    run.record = record.read_text().splitlines()
    assert sorted(read_curve(run.work_dir)) == list(range(1, EPOCHS + 1))
    return run


def at_random_moments(trial, whole, row: Row, number: int, end) -> None:
    """End runs at random moments, each after the last, until they are through."""
    seed = 0
    moments = random.Random(seed)
    run, cuts = trial(), 0
    print(f"\nseed {seed}, seconds after the first step:", end="")
    while cuts < number:
        process = run.start()
        moment = moments.uniform(0, whole.seconds)
        deadline = time.monotonic() + moment
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        if process.poll() is None:
            print(f" {moment:.2f}", end="", flush=True)
            end(process, cuts)
            run.cut(process)
            cuts += 1
            continue
        assert process.status == 0, process.text()[-3000:]
        run.count(row, whole)
        run = trial()
    run.count(row, whole)
    print()


def test_killed_at_random_moments(trial, whole, table):
    row = table["kill -9 at random moments"] = Row()
    at_random_moments(trial, whole, row, KILLS, lambda run, _: run.kill())
    assert row.tried == row.survived == KILLS
    assert max(row.lost) <= STEPS + 1


def test_sigterm_at_random_moments(trial, whole, table):
    row = table["SIGTERM at random moments"] = Row()

    def end(run: Run, number: int) -> None:
        # To the process, or as Slurm does to all of the job.
        send = os.kill if number % 2 else os.killpg
        send(run.pid, signal.SIGTERM)
        # At its very end: nobody waits for the signal any more, or Python that exits
        # handles none.
        if run.wait() in (0, -signal.SIGTERM):
            assert ENDED.search(run.text())
            return
        assert run.wait() == TERMINATED == 143, run.text()[-3000:]
        assert len(re.findall(TERMINATED_RUN, run.text())) == 1
        assert "Traceback" not in run.text()

    at_random_moments(trial, whole, row, max(2, KILLS // 2), end)
    assert row.tried == row.survived
    assert max(row.lost) <= STEPS + 1


def test_killed_before_each_step_of_saving(trial, whole, table):
    """Steps of the third epoch: its checkpoint takes the place of the first one's."""
    row = table["kill -9 while a checkpoint is saved"] = Row()
    names = [line.split()[1] for line in whole.record]
    first = names.index("epoch_3.pth.unfinished") + 1
    last = names.index("epoch_1_student.pth") + 1
    assert last - first == 7, whole.record
    steps = range(first, last + 1)
    if not ALL:  # before the new one has its name, and before the old one goes
        steps = (first + 1, first + 4)
    for step in steps:
        run = trial()
        process = run.start(die_at=step)
        assert process.wait() == -signal.SIGKILL
        if step == first + 1:
            assert (run.work_dir / "epoch_3.pth.unfinished").is_file()
        run.cut(process)
        run.count(row, whole)
    assert row.tried == row.survived == len(steps)
    assert max(row.lost) <= STEPS


def limit_file_size(run: Run, size: int) -> None:
    resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (size, size))


def test_killed_in_the_middle_of_a_write(trial, whole, table):
    row = table["death in the middle of writing a checkpoint"] = Row()
    run = trial()
    process = run.start(die_of_limit=True)
    wait_until(process, (run.work_dir / "epoch_1.pth").is_file)
    limit_file_size(process, 200_000)
    assert process.wait() == -signal.SIGXFSZ
    part = run.work_dir / "epoch_2.pth.unfinished"
    assert part.stat().st_size == 200_000
    run.cut(process)
    run.count(row, whole)
    assert not part.exists()


FULL = ["limit", "student", "epoch_3.pth", "last_checkpoint"]


@pytest.mark.parametrize("fault", FULL[: None if ALL else 2])
def test_full_disk_while_saving(trial, whole, table, fault):
    row = table.setdefault("disk full while a checkpoint is saved", Row())
    run = trial()
    if fault == "limit":  # some of the file is written
        process = run.start()
        wait_until(process, (run.work_dir / "epoch_1.pth").is_file)
        limit_file_size(process, 200_000)
        written, newest = "epoch_2.pth", "epoch_1.pth"
    else:
        written = {"student": "epoch_3_student.pth"}.get(fault, fault)
        process = run.start(full_at=written)
        newest = {"student": "epoch_3.pth", "epoch_3.pth": "epoch_2.pth"}.get(fault)
        newest = newest or "epoch_1.pth"
    assert process.wait() == 1
    message = process.text().splitlines()[-1]
    assert f"{run.work_dir / written} was not written: " in message
    assert re.search(
        r"it takes [\d,]+ bytes, of which its disk has [\d,]+ free", message
    )
    assert "--resume goes on from the newest whole checkpoint, " in message
    if fault == "last_checkpoint":  # of the first epoch: there is none before it
        newest = "epoch_1.pth"
    assert message.endswith(f"{run.work_dir / newest}.")
    assert not list(run.work_dir.glob("*.unfinished"))
    run.cut(process)
    run.count(row, whole)
    assert max(row.lost) <= STEPS


def worker_of(run: Run) -> Optional[psutil.Process]:
    """A data loader's worker, and not a git that MMEngine calls when it saves."""
    process = psutil.Process(run.pid)
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in process.children():
            time.sleep(0.01)  # until it is what it is going to be
            if child.cmdline() == process.cmdline():
                return child
    return None


def test_killed_in_validation(trial, whole, table):
    """In the last one: nothing is left to train, but its metric is missing."""
    row = table["kill -9 in the last validation"] = Row()
    run = trial()
    process = run.start(
        "val_dataloader.num_workers=1",
        "val_dataloader.batch_size=1",
        "default_hooks.slow.type=tests.preloaded.SlowValidation",
        "train_cfg.val_interval=10",
    )
    wait_until(process, lambda: worker_of(process))
    process.kill()
    assert "Epoch(val)" not in process.text()
    assert (run.work_dir / LAST).is_file()
    run.cut(process)
    log = run.finish()
    assert "Epoch(train)" not in log and f"Epoch(val) [{EPOCHS}]" in log
    row.tried += 1
    curve = read_curve(run.work_dir)
    assert curve == {EPOCHS: read_curve(whole.work_dir)[EPOCHS]}
    found, expected = (
        read_checkpoint(str(trial.work_dir / LAST))["state_dict"]
        for trial in (run, whole)
    )
    assert_same(found, expected)
    row.survived += 1
    row.lost += run.lost


@pytest.mark.parametrize("loader, persistent", [("train", True), ("val", False)])
def test_worker_of_a_data_loader_dies(trial, whole, table, loader, persistent):
    row = table.setdefault("worker of a data loader killed", Row())
    run = trial()
    process = run.start(
        f"{loader}_dataloader.num_workers=2",
        f"{loader}_dataloader.persistent_workers={persistent}",
        "val_dataloader.batch_size=1",
        "default_hooks.slow.type=tests.preloaded.SlowValidation",
    )
    wait_until(process, lambda: "Epoch(train) [2]" in re.sub(" +", " ", process.text()))
    wait_until(process, lambda: worker_of(process))
    worker_of(process).kill()
    begin = time.monotonic()
    assert process.wait() == 1
    assert time.monotonic() - begin < 20
    message = process.text().splitlines()[-1]
    assert "RuntimeError: A worker process of a data loader died (" in message
    assert "--resume goes on from the newest whole checkpoint, " in message
    run.cut(process)
    run.count(row, whole)


def test_workers_of_a_data_loader_end_with_sigterm(trial, whole, table):
    row = table["SIGTERM with workers of data loaders"] = Row()
    run = trial()
    for send in (os.kill, os.killpg):
        process = run.start("train_dataloader.num_workers=2")
        wait_until(process, functools.partial(worker_of, process))
        workers = psutil.Process(process.pid).children()
        send(process.pid, signal.SIGTERM)
        assert process.wait() == TERMINATED, process.text()[-3000:]
        assert re.search(TERMINATED_RUN, process.text())
        assert not psutil.wait_procs(workers, timeout=10)[1]
        run.cut(process)
    run.count(row, whole)


@pytest.mark.skipif(not ALL, reason="PCKD_MM_KILLS is below 20")
def test_sigterm_to_torchrun(teacher, tmp_path):
    process = subprocess.Popen(
        command(two_processes(), tmp_path, teacher),
        cwd=ROOT,
        env={**environment(), "PYTHON": sys.executable},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "epoch_2.pth").is_file():
        assert process.poll() is None
        time.sleep(0.01)
    family = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    said = process.communicate(timeout=60)[1]
    assert process.returncode
    assert len(re.findall(TERMINATED_RUN, said)) == 1, said
    assert not psutil.wait_procs(family, timeout=10)[1]


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[len(content) // 2] ^= 1
    else:
        content = content[: int(float(how) * len(content))]
    path.write_bytes(content)


DAMAGES = ["0.5", "flipped", "0", "0.999"]


@pytest.mark.parametrize("how", DAMAGES[: None if ALL else 2])
def test_damaged_newest_checkpoint(trial, whole, table, how):
    row = table.setdefault("newest checkpoint truncated or damaged", Row())
    run = trial()
    shutil.copytree(whole.work_dir, run.work_dir)
    damage(run.work_dir / LAST, how)
    run.done = EPOCHS * STEPS
    row.tried += 1
    log = run.finish()
    warning = next(line for line in log.splitlines() if "is not whole" in line)
    assert LAST in warning and f"epoch_{EPOCHS - 1}.pth, is used" in warning
    run.assert_like(whole)
    row.survived += 1
    row.lost += run.lost
    assert row.lost[-1] == STEPS
