"""One call at a time in a work dir."""

import errno
import subprocess
import sys

import pytest

from pckd_mm.experiments import ExperimentError
from pckd_mm.experiments.lock import alone_in
from tests.builders import ROOT

HOLD = """
import sys
from pathlib import Path
from pckd_mm.experiments.lock import alone_in
with alone_in(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""


def test_another_call_is_kept_out_until_the_first_ends(tmp_path):
    folder = tmp_path / "work dir"
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert first.stdout.readline() == b"in\n"
        with pytest.raises(ExperimentError, match=f"Another call trains in {folder}"):
            with alone_in(folder):
                pass
        with alone_in(tmp_path / "another"):
            pass
    finally:
        first.kill()  # without a chance to clean up
        first.communicate()
    with alone_in(folder):
        pass
    with alone_in(folder):
        pass


def test_a_file_system_without_locks_is_no_reason_to_stop(tmp_path, monkeypatch):
    def no_locks(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with alone_in(tmp_path):
        entered = True
    assert entered


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file" / "work", tmp_path / "file"):
        with pytest.raises(ExperimentError, match="Nothing can be written into .*file"):
            with alone_in(folder):
                pass
