"""Mutated files are read, or refused in words; they run no code and hang no reader.

More of them: PCKD_MM_FUZZ=20000 pytest tests/test_fuzz.py -s
"""

import json
import os
import pickle
import subprocess
import sys

import pytest

from tests.builders import ROOT
from tests.fuzz import payloads

FILES = int(os.environ.get("PCKD_MM_FUZZ", 1300))
SEED = int(os.environ.get("PCKD_MM_FUZZ_SEED", 0))


@pytest.mark.skipif(sys.platform != "linux", reason="watches a process by /proc")
def test_mutated_files_do_no_harm(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", str(tmp_path / "fuzz")]
        + ["--files", str(FILES), "--seed", str(SEED)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300 + FILES / 10,
    )
    # A crash leaves its file in the folder.
    assert done.returncode == 0, (done.returncode, done.stderr[-3000:], tmp_path)
    result = json.loads(done.stdout.splitlines()[-1])
    counts = result["readers"]
    print(f"\n{'reader':38} accepted  refused  other")
    for name, of_reader in counts.items():
        other = sum(line.startswith(f"{name}, file") for line in result["other"])
        accepted, refused = of_reader["accepted"], of_reader["refused"]
        print(f"{name:38} {accepted:8} {refused:8} {other:6}")
    mutated = sum(each["accepted"] + each["refused"] for each in counts.values())
    print(
        f"{mutated} mutated files, {result['memory'] / 2**20:.0f} MiB, the slowest "
        f"{result['slowest'][0]:.1f} s ({result['slowest'][1]})"
    )
    assert not result["other"], "\n".join(result["other"])
    assert not result["events"], "\n".join(result["events"])
    assert not result["canary"]
    assert mutated >= 0.9 * FILES
    assert all(each["refused"] > 0 for each in counts.values())
    assert result["memory"] < 2**30
    assert result["slowest"][0] < 20


@pytest.mark.parametrize("index", range(len(payloads(""))))
def test_what_is_injected_would_run(tmp_path, index):
    canary = tmp_path / "canary"
    code = b"\x80\x02" + payloads(str(canary))[index] + b"0N."
    assert pickle.loads(code) is None
    assert canary.exists()
