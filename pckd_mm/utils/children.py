"""Processes that do not outlive the one that started them."""

import ctypes
import os
import signal
import subprocess
import sys

__all__ = ["end_process", "end_with_parent", "end_with_torchrun"]

# Seconds that a process has to end in order.
_PATIENCE = 10
_PR_SET_PDEATHSIG = 1  # of Linux's prctl.h
# Looked up here, since little is safe between fork and exec.
_libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None


def end_with_parent(by: signal.Signals = signal.SIGTERM) -> None:
    """Let the system send a signal to this process when its parent ends, however.

    For ``preexec_fn`` of ``subprocess``; it counts as the end of the parent when the
    thread ends that started this process. Without effect on other systems than Linux.

    Args:
        by (Signals): The signal. Defaults to SIGTERM.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, by)


def end_with_torchrun() -> None:
    """End at once, in a worker of torchrun, when torchrun ends.

    It gives its workers half a minute to end, and one that waits for others does not
    see SIGTERM: whoever kills torchrun before would leave it alive, on its GPU.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        end_with_parent(signal.SIGKILL)


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
