"""Runs of the tools that start without the seconds that their imports take.

A process that has imported everything forks one for each run, with the faults that a
test orders.
"""

import atexit
import contextlib
import faulthandler
import functools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Optional

from mmengine.hooks import Hook

from pckd_mm.utils.endings import last_lines
from tests.builders import ROOT
from tests.forking import Asked, write_shim

# Seconds; more than a run takes on a busy machine.
TIMEOUT = 900
# A small run, and what makes it one of a few steps.
ALONE = "vanilla/digits_resnet8_thin"
FEW_DIGITS = [
    "randomness.seed=3",
    "train_dataloader.dataset.dataset.indices=64",
    "train_dataloader.batch_size=16",
    "val_dataloader.dataset.dataset.indices=32",
]


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
        asked (Asked): The process.
        log (Path): What it prints, of stdout at least.
    """

    def __init__(self, asked: Asked, log: Path) -> None:
        self.asked = asked
        self.pid = asked.pid
        self.log = log
        self.status: Optional[int] = None

    def poll(self) -> Optional[int]:
        """Exit status if it has ended; negative for a signal."""
        if self.status is None:
            self.status = self.asked.ended(0)
        return self.status

    def wait(self) -> int:
        """Wait for the end of it; one that does not come to it is killed."""
        if self.status is None:
            self.status = self.asked.ended(TIMEOUT)
        if self.status is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.status = self.asked.ended()
        return self.status

    def kill(self) -> None:
        """Kill -9 the run and all of its processes."""
        os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def text(self) -> str:
        """What it has printed so far."""
        return printed_in(self.log) if self.log.is_file() else ""


class Preloaded:
    """The process that forks runs.

    Args:
        cwd (Path): Where runs are started.
        env (dict, optional): What they find in their environment besides the tests'.
    """

    def __init__(self, cwd: Path = ROOT, env: Optional[Dict[str, str]] = None) -> None:
        self.cwd = cwd
        self.env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            **(env or {}),
        }
        # A socket's address is short, which pytest's own folders are not always.
        self.folder = tempfile.TemporaryDirectory(prefix="pckd")
        self.address = os.path.join(self.folder.name, "socket")
        #: str: What starts a Python whose imports are done, as ``sys.executable`` does.
        self.python = os.path.join(self.folder.name, "python")
        write_shim(self.python, self.address, str(ROOT), str(cwd))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)
            listener.listen(64)
            handle = listener.fileno()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.fork_server", str(handle), self.python],
                cwd=cwd,
                env=self.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=[handle],
            )

    def close(self) -> None:
        """End it."""
        self.process.stdin.close()
        self.process.wait(60)
        self.folder.cleanup()

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
        order = dict(args=args, cwd=str(self.cwd), env=self.env, faults=faults)
        with contextlib.ExitStack() as stack:
            nothing = stack.enter_context(open(os.devnull))
            out, err = (stack.enter_context(open(x, "ab")) for x in (log, err or log))
            files = {0: nothing.fileno(), 1: out.fileno(), 2: err.fileno()}
            return Run(Asked(self.address, order, files), log)

    def call(self, args: List[str]) -> subprocess.CompletedProcess:
        """Run a tool to its end, as ``subprocess.run`` would."""
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            status = self.start(args, out, err).wait()
            printed = (printed_in(path) for path in (out, err))
            return subprocess.CompletedProcess(args, status, *printed)


def printed_in(path: Path) -> str:
    """What a process printed, without what libraries leak since it was forked."""
    text = path.read_text(errors="replace")
    if "nanobind: " not in text:
        return text
    return "".join(f"{line}\n" for line in last_lines(text, len(text)))


@functools.cache
def preloaded() -> Preloaded:
    """The one that the tests of a process share."""
    server = Preloaded()
    atexit.register(server.close)
    return server
