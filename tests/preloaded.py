"""Runs of tools/train.py that start without the seconds that its imports take.

A process that has imported everything forks one for each run, with the faults that a
test orders.
"""

import errno
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO, List, Optional

from mmengine.hooks import Hook

from tests.builders import ROOT


class SlowValidation(Hook):
    """Lets a validation last, so that it can be cut off."""

    def before_val_iter(self, *args, **kwargs) -> None:
        time.sleep(0.02)


class Run:
    """A run in a process group of its own.

    Args:
        answers (BinaryIO): Where the process that forked it tells its exit status.
        pid (int): The run's process and group.
        log (Path): What it prints.
    """

    def __init__(self, answers: BinaryIO, pid: int, log: Path) -> None:
        self.answers = answers
        self.pid = pid
        self.log = log
        self.status: Optional[int] = None

    def poll(self) -> Optional[int]:
        """Exit status if it has ended; negative for a signal."""
        ended = select.select([self.answers], [], [], 0)[0]
        return self.wait() if ended else self.status

    def wait(self) -> int:
        """Wait for the end of it."""
        if self.status is None:
            self.status = int(self.answers.readline())
        return self.status

    def kill(self) -> None:
        """Kill -9 the run and all of its processes."""
        os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def text(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace") if self.log.is_file() else ""


class Preloaded:
    """The process that forks runs, one at a time; a context manager."""

    def __enter__(self) -> "Preloaded":
        # Not its stdout, where libraries may print when they are imported.
        source, target = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.preloaded", str(target)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[target],
        )
        os.close(target)
        # Without a buffer what select tells is all that there is.
        self.answers = open(source, "rb", buffering=0)
        return self

    def __exit__(self, *error: object) -> None:
        self.process.stdin.close()
        self.process.wait(60)
        self.answers.close()

    def start(self, args: List[str], log: Path, **faults: object) -> Run:
        """Start a run.

        Args:
            args (list[str]): Command line, from the tool on.
            log (Path): Where all that it prints goes.
            faults (Any): ``record``, a file to note each step of writing and removing
                files in; ``die_at``, the number of the step before which the process
                kills itself; ``full_at``, the end of the name of a file for which there
                is no space; ``die_of_limit``, whether a limit of the file size kills.
        """
        order = dict(args=args, log=str(log), **faults)
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        return Run(self.answers, int(self.answers.readline()), log)


def _watch_files(
    record: Optional[str] = None,
    die_at: Optional[int] = None,
    full_at: Optional[str] = None,
    die_of_limit: bool = False,
) -> None:
    if die_of_limit:  # which python turns into an error by default
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    notes = record and os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    steps = 0

    def watch(event: str, args: tuple) -> None:
        nonlocal steps
        if event not in ("open", "os.rename", "os.remove"):
            return
        path = str(args[0])
        begins = event == "open" and path.endswith(".unfinished")
        if begins and full_at and path.endswith(full_at + ".unfinished"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        removes = event == "os.remove" and path.endswith(".pth")
        if not (begins or event == "os.rename" or removes):
            return
        steps += 1
        if notes:
            os.write(notes, f"{event} {os.path.basename(path)}\n".encode())
        if steps == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def _serve(answers: BinaryIO) -> None:
    import mmpretrain.apis  # noqa: F401
    import mmpretrain.datasets
    import mmpretrain.models
    import mmpretrain.visualization  # noqa: F401
    import mmrazor.models  # noqa: F401
    import sklearn.datasets  # noqa: F401

    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.setsid()
            nothing = os.open(os.devnull, os.O_RDONLY)
            log = os.open(order.pop("log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for source, target in ((nothing, 0), (log, 1), (log, 2)):
                os.dup2(source, target)
            sys.argv = order.pop("args")
            _watch_files(**order)
            runpy.run_path(sys.argv[0], run_name="__main__")
            sys.exit()
        answers.write(b"%d\n" % pid)
        status = os.waitpid(pid, 0)[1]
        answers.write(b"%d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    import pckd_mm  # noqa: F401

    _serve(open(int(sys.argv[1]), "wb", buffering=0))
