"""What a run says that it was made with."""

import datetime
import re
import subprocess

import pytest
import torch

from pckd_mm.experiments import facts
from pckd_mm.utils import precision


@pytest.fixture
def repository(tmp_path):
    """A git repository with one commit; its hash beside it."""

    def git(*args):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", *identity, *args]
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        return done.stdout.decode().strip()

    git("init", "-q")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-q", "-m", "one")
    return tmp_path, git("rev-parse", "HEAD")


def test_commit_tells_whether_files_differ_from_it(repository):
    root, commit = repository
    assert facts.commit(root) == commit and len(commit) == 40
    (root / "file").write_text("another")
    assert facts.commit(root) == f"{commit}-dirty"


def test_commit_is_unknown_without_a_repository_or_git(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert facts.commit(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert facts.commit(tmp_path) is None


def test_hardware_and_software_have_names(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    facts.hardware.cache_clear()
    count = facts.cores()
    assert facts.hardware().endswith(f", {count} core{'s' * (count > 1)}")
    found = facts.software()
    assert re.search(
        rf"torch {re.escape(torch.__version__)}, (onedl-)?mmengine 0\.", found
    )
    assert facts.software(("pytest", "none")) == (
        f"{facts.software()}, pytest {pytest.__version__}"
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    facts.hardware.cache_clear()
    assert facts.hardware() == "a GPU"
    facts.hardware.cache_clear()


@pytest.mark.parametrize(
    "amp, gpu, detector, expected",
    [
        (None, (9, 0), False, "float32"),
        ("auto", (9, 0), False, "bfloat16 autocast"),
        ("auto", (9, 0), True, "float16 autocast"),
        ("auto", (7, 0), False, "float16 autocast"),
        ("force", (7, 0), False, "float16 autocast"),
        ("auto", "a CPU", False, "bfloat16 autocast"),
        ("auto", "an old CPU", False, "float32"),
        ("force", "an old CPU", False, "bfloat16 autocast"),
        (None, "an old CPU", False, "float32"),
    ],
)
def test_precision(amp, gpu, detector, expected, monkeypatch):
    old = gpu == "an old CPU"
    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda: not old)
    gpu = gpu if isinstance(gpu, tuple) else None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu is not None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: gpu)
    assert facts.precision(amp, detector) == expected


def test_several_runs_together(repository):
    root, commit = repository
    note = facts.made_with(root, amp=None)
    assert note["commit"] == commit
    assert datetime.date.fromisoformat(note["date"])
    other = {**note, "commit": None, "precision": "float16 autocast"}
    assert facts.made_with_together([other, note, note], amp=None) == {
        "commit": f"{commit}, unknown",
        "hardware": note["hardware"],
        "software": note["software"],
        "precision": "float16 autocast, float32",
    }
