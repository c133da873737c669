"""Runs of the tools that start without the seconds that their imports take.

A process that has imported everything forks one for each run, with the faults that a
test orders.
"""

import atexit
import contextlib
import errno
import faulthandler
import functools
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import BinaryIO, Dict, List, Optional

from mmengine.hooks import Hook

from tests.builders import ROOT

# Seconds; more than a run takes on a busy machine.
TIMEOUT = 900


class SlowValidation(Hook):
    """Lets a validation last, so that it can be cut off."""

    def before_val_iter(self, *args, **kwargs) -> None:
        time.sleep(0.02)


class Fault(Hook):
    """Ends the process as a fault in compiled code does, in the second step."""

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        if batch_idx == 1:
            faulthandler._sigsegv()


class Run:
    """A run in a process group of its own.

    Args:
        answers (BinaryIO): Where the process that forked it tells its exit status.
        pid (int): The run's process and group.
        log (Path): What it prints, of stdout at least.
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
        """Wait for the end of it; one that does not come to it is killed."""
        if self.status is None:
            if not select.select([self.answers], [], [], TIMEOUT)[0]:
                os.killpg(self.pid, signal.SIGKILL)
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
    """The process that forks runs, one at a time.

    Args:
        cwd (Path): Where runs are started.
        env (dict, optional): What they find in their environment besides the tests'.
    """

    def __init__(self, cwd: Path = ROOT, env: Optional[Dict[str, str]] = None) -> None:
        # Not its stdout, where libraries may print when they are imported.
        source, target = os.pipe()
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            **(env or {}),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.preloaded", str(target)],
            cwd=cwd,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[target],
        )
        os.close(target)
        # Without a buffer what select tells is all that there is.
        self.answers = open(source, "rb", buffering=0)

    def close(self) -> None:
        """End it, once its last run has ended."""
        self.process.stdin.close()
        self.process.wait(60)
        self.answers.close()

    def start(
        self, args: List[str], log: Path, err: Optional[Path] = None, **faults: object
    ) -> Run:
        """Start a run.

        Args:
            args (list[str]): Command line, from the tool on.
            log (Path): Where what it prints goes.
            err (Path, optional): Where its stderr goes if not there too.
            faults (Any): ``record``, a file to note each step of writing and removing
                files in; ``die_at``, the number of the step before which the process
                kills itself; ``full_at``, the end of the name of a file for which there
                is no space; ``die_of_limit``, whether a limit of the file size kills.
        """
        args = [str(part) for part in args]
        order = dict(args=args, log=str(log), err=str(err or log), **faults)
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        return Run(self.answers, int(self.answers.readline()), log)

    def call(self, args: List[str]) -> subprocess.CompletedProcess:
        """Run a tool to its end, as ``subprocess.run`` would."""
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            status = self.start(args, out, err).wait()
            printed = (path.read_text(errors="replace") for path in (out, err))
            return subprocess.CompletedProcess(args, status, *printed)


@functools.cache
def preloaded() -> Preloaded:
    """The one that the tests of a process share."""
    server = Preloaded()
    atexit.register(server.close)
    return server


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

    with contextlib.suppress(ImportError):
        import mmdet.apis
        import mmdet.evaluation  # noqa: F401

    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.setsid()
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            for name, target in (("log", 1), ("err", 2)):
                path = order.pop(name)
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), target)
            sys.argv = order.pop("args")
            sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
            _watch_files(**order)
            # An error ends this process as it would end the script.
            runpy.run_path(sys.argv[0], run_name="__main__")
            sys.exit()
        answers.write(b"%d\n" % pid)
        status = os.waitpid(pid, 0)[1]
        answers.write(b"%d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    import pckd_mm  # noqa: F401

    _serve(open(int(sys.argv[1]), "wb", buffering=0))
