"""The search for settings, as a user calls it."""

import json
import os
import shutil
import subprocess
import sys
import types

import pytest
from mmengine.config import Config

from pckd_mm.utils.config import load_config
from tests.builders import ROOT, image_folder, run_config
from tests.preloaded import preloaded

pytest.importorskip("ray.tune")
pytest.importorskip("optuna")

import pckd_mm.tuning  # noqa: E402
from pckd_mm.commands import main  # noqa: E402

PCKD = "pckd/digits_resnet20_resnet8_thin"


@pytest.mark.parametrize(
    "options, reason",
    [
        (["--trials", "0"], "--trials is 0; expected 1 or more"),
        (["--grace", "0"], "--grace is 0; expected 1 or more"),
        (["--val-share", "1"], "--val-share is 1.0; expected a share between 0 and 1"),
        (["--jobs", "0"], "--jobs is 0; expected 1 or more"),
    ],
)
def test_numbers_that_cannot_be(options, reason, capsys):
    with pytest.raises(SystemExit):
        main(["tune", PCKD, *options])
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv, reason",
    [
        (["nowhere.py"], "There is no config nowhere.py; expected a file, or"),
        ([PCKD, "--search", "loss_fb=1..2"], "has no loss_fb; expected one of its"),
        ([PCKD, "--cfg-options", "optim_wrapper.optimizer.lrr=1"], "did you mean"),
        ([PCKD, "--per-gpu", "2"], "--per-gpu is 2, and there is no GPU"),
        (
            [PCKD, "--val-share", "0.1", "--teacher", "x.pth"],
            "There is no teacher x",
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(
    argv, reason, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert main(["tune", *argv, "--work-dir", str(tmp_path / "work")]) == 1
    assert reason in capsys.readouterr().err
    assert not list(tmp_path.glob("work/trials/*"))


def test_a_teacher_that_is_not_there_ends_it_before_the_first_trial(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(ROOT)
    cfg = load_config(PCKD)
    cfg.model.pop("teacher_config")
    cfg.model.teacher_ckpt = "nowhere/teacher.pth"
    path = tmp_path / "mine.py"
    path.write_text(cfg.pretty_text)
    assert main(["tune", str(path), "--work-dir", str(tmp_path / "work")]) == 1
    assert "no teacher_ckpt nowhere/teacher.pth for" in capsys.readouterr().err
    assert not list(tmp_path.glob("work/trials/*"))


def test_trials_at_a_time_are_those_of_a_comparison(tmp_path, monkeypatch, capsys):
    """Two without a GPU, however few threads each has."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("pckd_mm.experiments.places.cores", lambda: 32)
    found = []

    def note(tuning, *_):
        found.append(tuning.jobs)
        return ""

    monkeypatch.setattr(pckd_mm.tuning, "tune", note)
    command = ["tune", PCKD, "--work-dir", str(tmp_path)]
    assert main(command) == 0 and main([*command, "--jobs", "3"]) == 0
    assert found == [2, 3]


# Trains two students for two epochs each. In a process of its own, with which all of
# Ray's end.
def test_a_search_where_there_is_no_test_set(tmp_path):
    images = image_folder(tmp_path / "images", images=10)
    cfg = run_config("vanilla/cifar100_resnet8_6e.py", images, tmp_path)
    cfg.train_cfg.max_epochs = 2
    path = tmp_path / "small.py"
    path.write_text(cfg.pretty_text)
    shutil.rmtree(images / "test")  # whoever reads it fails
    # Of a broken file trials take no notice, as they are told.
    first = min((images / "train").rglob("*.png"))
    first.write_bytes(b"no image")

    def call(trials):
        command = [
            preloaded().python,
            "-m",
            "pckd_mm",
            "tune",
            str(path),
            f"--trials={trials}",
        ]
        command += ["--search", "optim_wrapper.optimizer.lr=0.0001..0.5", "--jobs=1"]
        command += [
            "--skip-broken",
            "--val-share=0.2",
            f"--work-dir={tmp_path / 'work'}",
        ]
        return subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )

    done = call(2)
    assert done.returncode == 0, done.stderr + done.stdout
    report = json.loads((tmp_path / "work" / "report.json").read_text())
    first, second = report["trials"]
    lr = cfg.optim_wrapper.optimizer.lr
    assert first["values"] == {"optim_wrapper.optimizer.lr": lr} and first["finished"]
    assert second["values"] != first["values"]
    text = (tmp_path / "work" / "report.md").read_text()
    assert "20 % of the training images" in text and "was not read" in text
    # Every trial holds the same images out.
    held = []
    for number in (0, 1):
        trained = Config.fromfile(tmp_path / "work" / "trials" / f"{number:03d}.py")
        held.append(trained.val_dataloader.dataset.dataset)
        assert str(images / "test") not in trained.pretty_text
    assert held[0] == held[1] and held[0].share == 0.2 and held[0].part == "val"

    winner = tmp_path / "work" / "winner.py"
    assert winner.is_file() == (report["best"] == 1)
    if winner.is_file():
        assert winner.read_text().startswith("# Found by a search of 2 trials over")
        best = Config.fromfile(winner)
        assert (
            best.optim_wrapper.optimizer.lr
            == second["values"]["optim_wrapper.optimizer.lr"]
        )
        assert best.train_dataloader == cfg.train_dataloader  # all images again

    # Nothing is trained again, and no Ray is started for it.
    again = call(2)
    assert again.returncode == 0 and "trials of" not in again.stdout
    assert again.stdout.splitlines()[-1].endswith("report.md")


@pytest.mark.parametrize(
    "module, reason",
    [
        (None, "is not installed: pip install 'pckd_mm[scale]'"),
        (types.ModuleType("pckd_mm.tuning"), "they cannot be imported (cannot import"),
    ],
)
def test_without_what_it_needs(module, reason, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pckd_mm.tuning", module)
    assert main(["tune", PCKD]) == 1
    assert reason in capsys.readouterr().err
