"""Processes that do not outlive the one that started them."""

import ctypes
import signal
import subprocess
import sys

__all__ = ["end_process", "end_with_parent"]

# Seconds that a process has to end in order.
_PATIENCE = 10
_PR_SET_PDEATHSIG = 1  # of Linux's prctl.h
# Looked up here, since little is safe between fork and exec.
_libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None


def end_with_parent() -> None:
    """Let the system send SIGTERM to this process when its parent ends, however.

    For ``preexec_fn`` of ``subprocess``; it counts as the end of the parent when the
    thread ends that calls it. Without effect on other systems than Linux.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def end_process(process: subprocess.Popen) -> None:
    """End a process that runs, by force where it does not end in order.

    Args:
        process (Popen): A process of this machine.
    """
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
