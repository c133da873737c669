"""The script for a machine with a GPU, as far as one without can run it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.builders import ROOT

SCRIPT = ROOT / "tools" / "benchmarks" / "gpu.sh"
ACCURACIES = [
    *("short", "short-fast", "resnet56_resnet20", "resnet32x4_resnet8x4"),
    "wrn_40_2_wrn_16_2",
]
# An interpreter that does what it is told to by the environment.
PYTHON = """#!/usr/bin/env bash
echo "$@" >> "$LOG"
if [[ -n ${SLEEP:-} ]]; then sleep "$SLEEP"; fi
echo "a library says this"
echo '{"device": "Some GPU"}'
"""


@pytest.fixture
def run(tmp_path):
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    environment = dict(
        **{**os.environ, "PYTHON": str(python), "OUT": str(tmp_path / "out")},
        LOG=str(tmp_path / "log"),
    )

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["bash", SCRIPT, *arguments],
            env={**environment, **more},
            capture_output=True,
            text=True,
        )

    return run


def calls(tmp_path: Path) -> list:
    log = tmp_path / "log"
    return log.read_text().splitlines() if log.is_file() else []


def test_its_grammar_is_bashs():
    subprocess.run(["bash", "-n", SCRIPT], check=True)


def test_a_dry_run_names_every_part_and_runs_none(run, tmp_path):
    done = run("--dry-run")
    assert done.returncode == 0
    commands = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    recorded = json.loads((ROOT / "docs" / "speed_gpu.json").read_text())
    assert set(commands) == {*recorded, *ACCURACIES}
    assert list(commands)[-len(ACCURACIES) :] == ACCURACIES
    for name, part in recorded.items():
        # What the table says that a step was measured with is what it is run with.
        given = set(commands[name].split()) - {"--json"}
        said = part.get("options", "")
        for option in ("--fast", "--amp", "--compile", "--data-on-device"):
            assert (option in given) == (option in said), name
        network, _, student = part.get("pair", "resnet56 -> resnet20").split(" ", 2)
        if network not in ("resnet56", "Faster"):
            assert {network, student} <= given
    assert calls(tmp_path) == [] and not (tmp_path / "out").exists()


def test_a_part_alone_leaves_its_json_and_is_not_repeated(run, tmp_path):
    for _ in range(2):
        done = run("fast")
        assert done.returncode == 0 and "--add-gpu" in done.stdout
    assert calls(tmp_path) == ["tools/benchmarks/step.py --fast --amp --json"]
    found = (tmp_path / "out" / "fast.json").read_text()
    assert json.loads(found) == {"device": "Some GPU"}


def test_a_part_that_takes_too_long_is_cut_off_and_named(run, tmp_path):
    done = run("fast", "short", SLEEP="30", SECONDS_A_PART="0.2")
    assert done.returncode == 1
    assert "not finished: fast short" in done.stderr
    assert not (tmp_path / "out" / "fast.json").exists()
    assert len(calls(tmp_path)) == 2


def test_what_it_does_not_know_is_refused(run, tmp_path):
    for argument in ("nothing", "--nothing"):
        done = run("fast", argument)
        assert done.returncode == 2 and argument in done.stderr
    assert calls(tmp_path) == []
