"""Freed memory that a process keeps costs no page faults again."""

import os
import subprocess
import sys

import pytest

# In a process of its own, since the C library does not go back by itself.
PROGRAM = """
import resource, sys
import torch
from pckd_mm.utils.cpu_memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()

def faults():
    tensors = [torch.ones(2**22) for _ in range(16)]  # 16 MiB, 4096 pages each
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

faults()
first = faults()
for _ in range(4):
    last = faults()
print(last - first)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_memory_is_used_again():
    # By itself glibc raises the threshold when it sees large blocks freed, or not,
    # depending on where they lie; a setting, which mallopt overrides, ends that.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    found = {}
    for how in ("keep", "default"):
        command = [sys.executable, "-c", PROGRAM, how]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env=environment
        )
        found[how] = int(done.stdout)
    pages = 4 * 16 * 4096  # of the tensors of four calls
    assert found["default"] >= 0.9 * pages
    assert found["keep"] < 0.5 * pages
