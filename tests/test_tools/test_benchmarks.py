"""What the benchmarks measure with, and that they run."""

import os
import re
import runpy
import subprocess
import sys
import time

import pytest
import torch

from pckd_mm.models.losses.category_contrastive_loss import supervised_contrast
from tests.builders import ROOT
from tests.preloaded import preloaded

FOLDER = ROOT / "tools" / "benchmarks"
sys.path.insert(0, str(FOLDER))
import contrast  # noqa: E402
import measure  # noqa: E402


def rows(printed: str) -> list:
    """The cells of a table, without its two first lines."""
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_seconds_are_those_of_the_call():
    assert 0.05 <= measure.seconds(lambda: time.sleep(0.05), "cpu") < 5


PEAKS = """
import torch
import measure

measure.reset_peak("cpu")
before = measure.peak_mib("cpu")
torch.ones(64 * measure.MIB // 4)
grown = measure.peak_mib("cpu") - before
assert 50 < grown < 100, grown
measure.reset_peak("cpu")
assert measure.peak_mib("cpu") < before + 50
"""


# In a process of its own, which has no memory that other tests have freed.
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_of_memory_counts_what_was_freed():
    environment = {**os.environ, "PYTHONPATH": f"{FOLDER}{os.pathsep}{ROOT}"}
    subprocess.run([sys.executable, "-c", PEAKS], env=environment, check=True)


def test_both_forms_of_the_contrast_are_the_same():
    torch.manual_seed(0)
    anchors = torch.randn(40, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.arange(40) % 5
    found = supervised_contrast(anchors, labels, 4.0, 0.07)
    expected = contrast.dense_contrast(anchors, labels, 4.0, 0.07)
    torch.testing.assert_close(found, expected)


def run(tool: str, monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", [tool, *arguments])
    runpy.run_path(str(FOLDER / tool), run_name="__main__")


def test_contrast(monkeypatch, capsys):
    options = ["--repeats", "2", "--dense-up-to", "100", "--device", "cpu"]
    run("contrast.py", monkeypatch, "--anchors", "20", "300", *options)
    short, long = rows(capsys.readouterr().out)
    assert short[0] == "20" and all(float(cell) >= 0 for cell in short[1:])
    assert long[0] == "300" and long[1] == long[3] == "-"
    assert float(long[2]) > 0


def test_histories(monkeypatch, capsys):
    options = ["--repeats", "2", "--block", "5"]
    run("histories.py", monkeypatch, "--steps", "300000", *options)
    ((steps, plain, growing, ratio),) = rows(capsys.readouterr().out)
    assert steps == "300000"
    # A copy of 4.8 MB for each of four scalars, or none.
    assert float(plain) > 3 * float(growing) and float(ratio) > 3


@pytest.mark.parametrize("detector", ["frcnn", "gfl"])
def test_detection_step(detector):
    pytest.importorskip("mmdet.models", exc_type=ImportError)
    config = f"configs/pckd/digit_scenes_{detector}_r18w32_r18w8.py"
    options = ["--size", "64", "96", "--boxes", "3", "--repeats", "2"]
    further = []
    if detector == "gfl":
        options.append("--amp")
        further = ["pckd, float32"]
    done = preloaded().call(
        [FOLDER / "detection_step.py", config, *options, "--device", "cpu"]
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout
    assert f"{config}, 2 images of 64 x 96" in printed
    plain, *others = rows(printed)
    assert [row[0] for row in (plain, *others)] == [
        *("student + bare teacher", "pckd", "kd"),
        *further,
    ]
    assert plain[2] == plain[4] == "1.000"
    for row in others:
        assert 0.2 < float(row[2]) < 10 and re.fullmatch(r"\d\.\d{3}", row[2])
        expected = float(row[3]) / float(plain[3])
        # Both are printed in whole MiB, of which there are some fifty.
        rounding = 0.5 * (1 + expected) / float(plain[3]) + 0.0005
        assert float(row[4]) == pytest.approx(expected, abs=rounding)
