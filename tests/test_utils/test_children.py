"""Processes that do not outlive the one that started them."""

import signal
import subprocess
import sys
import time

import pytest

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
    deadline = time.monotonic() + 20
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(child)


def is_alive(pid):
    """Whether a process runs; a dead one that nobody has waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
