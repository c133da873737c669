"""The command-line tools, as users call them: train, kill, resume, test, export."""

import contextlib
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from mmengine.runner import Runner

from pckd_mm.utils.checkpoint import read_checkpoint
from tests.builders import ROOT
from tests.preloaded import preloaded
from tests.test_utils.test_checkpoint import save

CONFIG = "configs/pckd/digits_resnet20_resnet8_thin.py"
# The shipped config on part of the data, with a teacher of the right shape.
SMALL = [
    "randomness.seed=3",
    "train_dataloader.dataset.dataset.indices=180",
    "train_dataloader.batch_size=16",
    "val_dataloader.dataset.dataset.indices=90",
    "test_dataloader.dataset.dataset.indices=90",
    "train_cfg.max_epochs=6",
    "param_scheduler.milestones=[3,5]",
]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """Any weights of the teacher's network; how good they are does not matter."""
    from mmengine.config import Config
    from mmengine.registry import DefaultScope

    from pckd_mm.registry import MODELS

    cfg = Config.fromfile(ROOT / CONFIG)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = MODELS.build(cfg.model.teacher)
    model.init_weights()
    path = tmp_path_factory.mktemp("teacher") / "teacher.pth"
    torch.save(model.state_dict(), path)
    return path


def environment() -> dict:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHON": preloaded().python,
        "OMP_NUM_THREADS": "1",
    }


def command(launch: list, work_dir: Path, teacher: Path, *extra: str) -> list:
    options = ["--cfg-options", *SMALL, f"model.teacher_ckpt={teacher}"]
    return [*launch, "--work-dir", str(work_dir), *extra, *options]


def call(args: list, check: bool = True) -> subprocess.CompletedProcess:
    if args[0] == sys.executable:
        done = preloaded().call(args[1:])
    else:
        done = subprocess.run(
            args, cwd=ROOT, env=environment(), capture_output=True, text=True
        )
    failed = f"{args}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    assert done.returncode == 0 or not check, failed
    return done


def single(*rest: str) -> list:
    return [sys.executable, "tools/train.py", CONFIG, *rest]


def two_processes(*rest: str) -> list:
    return ["tools/dist_train.sh", CONFIG, "2", *rest]


def kill_after(args: list, file: Path, timeout: float = 300) -> None:
    """Start a run and kill -9 all its processes soon after ``file`` is there."""
    if args[0] == sys.executable:
        process = preloaded().start(args[1:], Path(os.devnull))
    else:
        process = subprocess.Popen(
            args,
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    deadline = time.monotonic() + timeout
    while not file.is_file():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, f"no {file} after {timeout} s"
        time.sleep(0.01)
    time.sleep(0.05)  # into the next epoch
    # torchrun and its workers are in sessions of their own, and forked elsewhere.
    family = psutil.Process(preloaded().process.pid).children(recursive=True)
    for member in [psutil.Process(process.pid), *family]:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()
    psutil.wait_procs(family, timeout=30)


def assert_same(found, expected, where="") -> None:
    assert type(found) is type(expected), where
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_same(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), where
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), where
        for index, pair in enumerate(zip(found, expected, strict=True)):
            assert_same(*pair, f"{where}[{index}]")
    else:
        assert found == expected, where


@pytest.mark.parametrize("launch", [single, two_processes])
def test_resume_after_kill_ends_with_the_very_same_weights(tmp_path, teacher, launch):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    call(command(launch(), whole, teacher))
    expected = read_checkpoint(str(whole / "epoch_6.pth"))

    kill_after(command(launch(), cut, teacher), cut / "epoch_2.pth")
    assert not (cut / "epoch_6.pth").exists()
    call(command(launch(), cut, teacher, "--resume"))
    found = read_checkpoint(str(cut / "epoch_6.pth"))
    for part in ("state_dict", "optimizer", "param_schedulers"):
        assert_same(found[part], expected[part], part)


def test_resume_from_a_named_checkpoint(tmp_path, teacher):
    first = command(single(), tmp_path / "first", teacher)
    call([*first, "train_cfg.max_epochs=1"])
    path = str(tmp_path / "first" / "epoch_1.pth")
    done = call(
        [
            *command(single(), tmp_path / "next", teacher, "--resume", path),
            "train_cfg.max_epochs=2",
        ]
    )
    assert "resumed epoch: 1" in done.stdout + done.stderr
    assert not (tmp_path / "next" / "epoch_1.pth").exists()
    assert (tmp_path / "next" / "epoch_2.pth").is_file()


def test_two_processes_share_the_work(tmp_path, teacher):
    done = call(command(two_processes(), tmp_path, teacher, "--auto-scale-lr"))
    log = done.stdout + done.stderr
    # 180 images in batches of 16 in each of two processes: 6 steps.
    assert "[6/6]" in log and "[7/" not in log
    assert (tmp_path / "epoch_6_student.pth").is_file()
    # What both validated, each a half of the images, is the network that is saved.
    options = ["--work-dir", str(tmp_path), "--cfg-options", SMALL[4]]
    tested = call(
        [
            sys.executable,
            "tools/test.py",
            CONFIG,
            str(tmp_path / "epoch_6.pth"),
            *options,
        ]
    )
    trained = accuracy(done, "Epoch(val) [6]")
    assert accuracy(tested, "Epoch(test)") == trained


def test_test_and_export(tmp_path, teacher):
    """The student has the same accuracy in training, in its checkpoint and alone."""
    work_dir = tmp_path / "run"
    log = call(command(single(), work_dir, teacher, "--amp"))
    trained = accuracy(log, "Epoch(val) [6]")
    checkpoint = str(work_dir / "epoch_6.pth")
    student = str(tmp_path / "student.pth")
    tool = "tools/model_converters/export_student.py"
    call([sys.executable, tool, checkpoint, student])

    alone = "configs/vanilla/digits_resnet8_thin.py"
    test = [sys.executable, "tools/test.py"]
    # The teacher's file named here does not exist: testing needs none.
    options = ["--work-dir", str(tmp_path), "--cfg-options", SMALL[4]]
    missing = "model.teacher_ckpt=/nowhere.pth"
    results = [
        call([*test, CONFIG, checkpoint, *options, missing]),
        call([*test, alone, student, *options]),
        call(["tools/dist_test.sh", alone, student, "2", *options]),
    ]
    assert [accuracy(result, "Epoch(test)") for result in results] == [trained] * 3


def accuracy(result: subprocess.CompletedProcess, line: str) -> str:
    lines = (result.stdout + result.stderr).splitlines()
    lines = [text for text in lines if line in text and "accuracy/top1:" in text]
    return lines[-1].split("accuracy/top1:")[1].split()[0]


def test_a_fault_in_compiled_code_is_told_in_words(tmp_path, teacher):
    options = ["--cfg-options", *SMALL, f"model.teacher_ckpt={teacher}"]
    options.append("default_hooks.fault.type=tests.preloaded.Fault")
    log = tmp_path / "output.log"
    run = preloaded().start(
        [*single("--work-dir", tmp_path / "run")[1:], *options], log
    )
    assert run.wait() == -signal.SIGSEGV
    told, fault = run.text().split("Fatal Python error: Segmentation fault")
    assert (
        "Networks: student CIFARResNet (depth 8), teacher CIFARResNet (depth 20). A "
        "fault in compiled code would print Python's place in it to stderr, not to "
        "this log's file."
    ) in told
    assert "in before_train_iter" in fault
    (of_runner,) = (tmp_path / "run").glob("*/*.log")
    told = of_runner.read_text()
    assert "fault in compiled code" in told and "Fatal Python error" not in told


def test_missing_teacher_ends_the_run_at_once(tmp_path):
    done = call(command(single(), tmp_path, tmp_path / "no.pth"), check=False)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "no.pth" in last
    assert "pckd train configs/vanilla/digits_resnet20.py" in last


def test_slurm_scripts_ask_srun_for_what_they_are_told(tmp_path):
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\necho "$@"\n')
    srun.chmod(0o755)
    for script, rest in (
        ("tools/slurm_train.sh", [CONFIG, str(tmp_path)]),
        ("tools/slurm_test.sh", [CONFIG, "some.pth"]),
    ):
        done = subprocess.run(
            [script, "part", "job", *rest, "--cfg-options", "a=1"],
            cwd=ROOT,
            env={
                **environment(),
                "PATH": f"{tmp_path}:{os.environ['PATH']}",
                "GPUS": "8",
                "GPUS_PER_NODE": "4",
            },
            check=True,
            capture_output=True,
            text=True,
        )
        for part in (
            *("part", "job", "--ntasks=8", "--gres=gpu:4", "--launcher"),
            *("slurm", CONFIG, "a=1"),
        ):
            assert part in done.stdout, (script, part, done.stdout)


@pytest.mark.parametrize("begun", [False, True])
def test_resume_keeps_load_from_of_a_run_that_has_not_begun(
    tmp_path, monkeypatch, begun
):
    newest = str(tmp_path / "epoch_1.pth")
    if begun:
        save(newest)
    options = ["--resume", "--cfg-options", "load_from=weights.pth"]
    arguments = ["train.py", str(ROOT / CONFIG), "--work-dir", str(tmp_path), *options]
    monkeypatch.setattr("sys.argv", arguments)
    seen = []

    def from_cfg(cfg):
        seen.append((cfg.resume, cfg.load_from))
        raise SystemExit(0)

    monkeypatch.setattr(Runner, "from_cfg", from_cfg)
    with pytest.raises(SystemExit):
        runpy.run_path(str(ROOT / "tools" / "train.py"), run_name="__main__")
    assert seen == [(True, newest) if begun else (False, "weights.pth")]


def test_resume_of_a_broken_checkpoint_ends_at_once(tmp_path, monkeypatch):
    save(tmp_path / "epoch_1.pth")
    broken = tmp_path / "epoch_2.pth"
    broken.write_bytes(b"PK")
    arguments = ["train.py", str(ROOT / CONFIG), "--work-dir", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [*arguments, "--resume", str(broken)])
    with pytest.raises(
        SystemExit, match=r"epoch_2.pth is not whole.*epoch_1.pth is wh"
    ):
        runpy.run_path(str(ROOT / "tools" / "train.py"), run_name="__main__")
