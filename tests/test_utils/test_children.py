"""Processes that do not outlive the one that started them."""

import signal
import subprocess
import sys
import time

import pytest

from pckd_mm.utils.children import end_process

PARENT = """
import subprocess, sys, time
from pckd_mm.utils.children import end_with_parent
child = "import time; print('begun', flush=True); time.sleep(60)"
process = subprocess.Popen([sys.executable, "-c", child], preexec_fn=end_with_parent)
print(process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="is so on Linux alone")
def test_a_child_ends_when_its_parent_is_killed():
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True
    )
    said = {parent.stdout.readline().strip(), parent.stdout.readline().strip()}
    (child,) = (int(word) for word in said - {"begun"})
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not is_alive(child), 20)


WORKER = """
import os, signal, sys, time
from pckd_mm.utils.children import end_with_torchrun
end_with_torchrun()
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as one that waits for others
with open(sys.argv[1] + ".part", "w") as file:
    file.write(str(os.getpid()))
os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(120)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="is so on Linux alone")
def test_a_worker_ends_with_torchrun(tmp_path, monkeypatch):
    """torchrun, which waits for its workers, is killed before it has killed them."""
    monkeypatch.setattr("pckd_mm.utils.children._PATIENCE", 1)
    script, told = tmp_path / "worker.py", tmp_path / "pid"
    script.write_text(WORKER)
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1"]
    process = subprocess.Popen([sys.executable, *command, str(script), str(told)])
    wait_until(told.is_file, 60)
    worker = int(told.read_text())
    assert is_alive(worker)
    end_process(process)
    wait_until(lambda: not is_alive(worker), 20)


def wait_until(is_so, seconds):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid):
    """Whether a process runs; a dead one that nobody has waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
