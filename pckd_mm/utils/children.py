"""Processes that do not outlive the one that started them."""

import ctypes
import signal
import sys

__all__ = ["end_with_parent"]

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
