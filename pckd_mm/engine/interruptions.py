"""Runs that are cut off end in order, and say where ``--resume`` goes on."""

import contextlib
import errno
import os
import signal
import sys
import threading
import time
import traceback
from typing import Any, Dict, Iterator, Optional, Set

from mmengine.dist import is_main_process
from mmengine.runner import BaseLoop, Runner

from pckd_mm.utils.checkpoint import where_resume_goes_on
from pckd_mm.utils.files import WriteError

__all__ = [
    "INTERRUPTED",
    "TERMINATED",
    "ending_on_sigterm",
    "saying_where_resume_goes_on",
    "unwinding_undisturbed",
]

# Exit status of a process that SIGTERM or Ctrl-C ended, as shells give it.
TERMINATED = 128 + signal.SIGTERM
INTERRUPTED = 128 + signal.SIGINT
_SIGNALS = (signal.SIGTERM, signal.SIGALRM)
# Seconds after which the exception is raised again, if nothing has caught it.
_AGAIN = 1.0


class _Terminated(SystemExit):
    """SIGTERM has come."""


# Within ending_on_sigterm the handlers from before it, which forked processes get back.
_before: Dict[int, Any] = {}
_forking = threading.local()


def _hold_signals() -> None:
    # Python forgets a signal that comes before a forked process is set up.
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _before)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _give_back_handlers() -> None:
    for number, handler in _before.items():
        signal.signal(number, handler)
    _before.clear()


def _set_free() -> None:
    _give_back_handlers()
    _release_signals()


os.register_at_fork(
    before=_hold_signals,
    after_in_parent=_release_signals,
    after_in_child=_set_free,
)


@contextlib.contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Within it SIGTERM, as Slurm sends it before it kills, unwinds this process.

    It ends like ``sys.exit`` does, with status 143: files are closed, workers of data
    loaders end. A second SIGTERM kills at once. Both wait for a call that does not come
    back to Python, as one that waits for another process. Processes that are forked off
    end by SIGTERM as they would without. Uses SIGALRM.
    """

    def end(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # Python swallows exceptions in some places, as in what runs at a fork.
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
        raise _Terminated(TERMINATED)

    _before.update({number: signal.signal(number, end) for number in _SIGNALS})
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _give_back_handlers()


def _forget_children() -> None:
    """Keep torch's handler of SIGCHLD from raising, wherever an ending process is.

    It tells of a worker's death once more at every signal of a child, also at those
    that wait to be handled while it is replaced.
    """
    while signal.getsignal(signal.SIGCHLD) is not signal.SIG_DFL:
        with contextlib.suppress(RuntimeError):
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _lost_worker(error: BaseException) -> bool:
    """Whether a worker process of a data loader died.

    Torch says so, unless the worker was about to hand over its tensors: then the
    connection breaks while the main process receives them.
    """
    if isinstance(error, RuntimeError) and str(error).startswith(
        "DataLoader worker (pid"
    ):
        return True
    return isinstance(error, (OSError, EOFError)) and any(
        frame.f_code.co_name == "_try_get_data"
        for frame, _ in traceback.walk_tb(error.__traceback__)
    )


def _is_terminated(error: BaseException) -> bool:
    """Whether SIGTERM led to an exception, be it the death of a worker."""
    if _lost_worker(error):
        try:
            # Sent to all processes of a job, it may have reached the worker first.
            time.sleep(1)
        except _Terminated:
            return True
    return _comes_of_sigterm(error)


def _comes_of_sigterm(error: BaseException) -> bool:
    """Whether the exception of SIGTERM is one, or led to it."""
    causes: Set[BaseException] = set()
    cause: Optional[BaseException] = error
    while cause is not None and cause not in causes:
        if isinstance(cause, _Terminated):
            return True
        causes.add(cause)
        cause = cause.__cause__ or cause.__context__
    return False


@contextlib.contextmanager
def unwinding_undisturbed() -> Iterator[None]:
    """Within it the exception of SIGTERM is raised each second, until it leaves.

    For what is behind it, such as trackers that send off what they hold back, nothing
    is raised again.
    """
    try:
        yield
    except BaseException as error:
        if _comes_of_sigterm(error):
            signal.setitimer(signal.ITIMER_REAL, 0)
        raise


def _say_where(runner: Runner, what: str) -> None:
    if is_main_process():
        where = "at its start"
        if isinstance(runner._train_loop, BaseLoop):  # which asking for it would make
            where = f"in epoch {runner.epoch + 1}, after iteration {runner.iter}"
        resume = where_resume_goes_on(runner.work_dir)
        print(f"{what} ended the run {where}; {resume}.", file=sys.stderr)


@contextlib.contextmanager
def saying_where_resume_goes_on(runner: Runner) -> Iterator[None]:
    """Within it a run that is cut off says where ``--resume`` goes on.

    Args:
        runner (Runner): The run.

    Raises:
        SystemExit: With status 143, after SIGTERM in :func:`ending_on_sigterm`, and
            130 after Ctrl-C.
        RuntimeError: Where a worker process of a data loader died.
        OSError: Where a disk is full.
    """
    try:
        try:
            yield
        except BaseException:
            _forget_children()
            raise
    except BaseException as error:  # torch's handler may have raised in between
        _forget_children()
        if _is_terminated(error):
            signal.setitimer(signal.ITIMER_REAL, 0)
            _say_where(runner, "SIGTERM")
            raise SystemExit(TERMINATED) from None
        if isinstance(error, KeyboardInterrupt):
            _say_where(runner, "Ctrl-C")
            raise SystemExit(INTERRUPTED) from None
        if _lost_worker(error):
            raise RuntimeError(
                f"A worker process of a data loader died ({str(error).strip(' .')}), "
                "as for lack of memory; fewer of them (num_workers) or smaller batches "
                f"need less, and {where_resume_goes_on(runner.work_dir)}."
            ) from error
        full = (errno.ENOSPC, errno.EDQUOT)
        if (
            isinstance(error, OSError)
            and error.errno in full
            and not isinstance(error, WriteError)
        ):
            reason = f"{error.strerror}; make room; "
            reason += f"{where_resume_goes_on(runner.work_dir)}."
            raise OSError(error.errno, reason, error.filename) from error
        raise
