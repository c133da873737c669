"""Work in a process and a folder of its own."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    cast,
)

from pckd_mm.utils.children import end_process, end_with_parent
from pckd_mm.utils.endings import ending, last_lines
from pckd_mm.utils.files import write_whole
from pckd_mm.utils.handout import SOCKETS

from .settings import Settings

if TYPE_CHECKING:
    from .executor import Process


# Says which job of Slurm does the work, in its folder.
HANDED_OVER = "submitted.json"


class ExperimentError(Exception):
    """What ends an experiment or one of its runs, in words for the user."""


@contextlib.contextmanager
def refusing(config: str) -> Iterator[None]:
    """Tell what is wrong with a config together with its name.

    Args:
        config (str): Path of the config.

    Yields:
        None: Inside, a ValueError says what is wrong.

    Raises:
        ExperimentError: For a ValueError.
    """
    try:
        yield
    except ValueError as error:
        raise ExperimentError(f"{config}: {error}") from None


class Job(ABC):
    """Work in a process and a folder of its own, done once.

    A file beside the folder says what is to be done; ``finished.json`` in the folder
    says that it was. A subclass has the attributes ``folder`` and ``settings``
    (:class:`Settings`), and is a text for the user.
    """

    # What it is that is done, and what a change of it is of.
    verb = "done"
    made_of = "its settings have"

    folder: Path
    settings: Settings
    epochs = 1
    process: Optional["Process"] = None
    started = 0.0
    ended = 0.0
    epochs_before = 0
    # What its process was told of the device.
    place: Mapping[str, str] = {}

    def __getstate__(self) -> Dict[str, Any]:
        """What another machine needs: not the processes of this one."""
        return {**self.__dict__, "process": None}

    @property
    def log(self) -> Path:
        """Path: What the process printed."""
        return self.folder / "output.log"

    @property
    def config_file(self) -> Path:
        """Path: What is to be done."""
        return config_file_of(self.folder)

    @property
    def kin(self) -> Path:
        """Path: Folder of those whose epochs take as long as its own."""
        return self.folder.parent

    @property
    def needs(self) -> Sequence["Job"]:
        """Sequence[Job]: What must be finished before."""
        return ()

    @property
    def is_finished(self) -> bool:
        """bool: Whether it came to its end."""
        return (self.folder / "finished.json").is_file()

    @property
    def is_begun(self) -> bool:
        """bool: Whether anything is in its folder."""
        return self.folder.is_dir() and any(self.folder.iterdir())

    @property
    def handed_over(self) -> Optional[str]:
        """str, optional: The job of Slurm that it was last handed over as."""
        path = self.folder / HANDED_OVER
        return json.loads(path.read_text())["job"] if path.is_file() else None

    @property
    def is_left(self) -> bool:
        """bool: Whether there is anything to be done."""
        return not self.is_finished or self.is_changed()

    @property
    def processes(self) -> int:
        """int: Processes that do it, each on a GPU of its own."""
        return 1

    @property
    def who(self) -> str:
        """str: It with what it is made of, for messages on a process that died."""
        return str(self)

    @abstractmethod
    def text(self) -> str:
        """What the file beside the folder holds; the same text means the same work."""

    @abstractmethod
    def command(self) -> List[str]:
        """Command line of the process, behind ``python``."""

    @abstractmethod
    def outcome(self) -> Optional[str]:
        """What came of it, in words; None where the result is not there."""

    def epochs_done(self) -> int:
        """How far it has come, of ``epochs``."""
        return self.epochs if self.is_finished else 0

    def epochs_kept(self) -> int:
        """How far it has come with what need not be done again."""
        return 0 if self.is_changed() else self.epochs_done()

    def result(self) -> Dict[str, Any]:
        """What ``finished.json`` holds."""
        return {}

    def is_changed(self) -> bool:
        """Whether other work was begun in its folder."""
        if not self.config_file.is_file():
            return False
        before = self.config_file.read_text(encoding="utf-8")
        return self.what_counts(before) != self.what_counts(self.text())

    def what_counts(self, text: str) -> str:
        """What of a :meth:`text` tells one work from another; all of it here."""
        return text

    def check_folder(self) -> None:
        """Refuse a folder that was not made by this tool.

        Raises:
            ExperimentError: Where it is one.
        """
        if self.is_begun and not self.config_file.is_file():
            raise ExperimentError(
                f"{self.folder} is there and was not made by this tool; expected no "
                "such folder: give another --work-dir."
            )

    def forget(self) -> None:
        """Remove what was done before."""
        if self.folder.is_dir():
            shutil.rmtree(self.folder)

    def prepare(self) -> None:
        """Write what is to be done; make room where something else was."""
        if self.is_begun and self.is_changed():
            print(f"{self}: {self.made_of} changed; {self.verb} anew.")
            set_aside(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        # Half a text would be one that has changed, and all be done anew.
        write_whole(str(self.config_file), self.text().encode())

    def begin(self) -> None:
        """Note when it is started, and how far it is."""
        self.epochs_before = self.epochs_done()
        self.started = time.monotonic()

    def start(
        self,
        threads: Optional[int] = None,
        place: Optional[Mapping[str, str]] = None,
        sockets: Sequence[socket.socket] = (),
    ) -> None:
        """Start the process.

        Args:
            threads (int, optional): Threads that it may use; None for what the
                environment says, else one.
            place (Mapping, optional): What its environment says of the device.
            sockets (Sequence[socket.socket]): What it has in common with other
                processes.
        """
        self.place = dict(place or {})
        environment = {"OMP_NUM_THREADS": "1", **os.environ, **self.place}
        handles = [end.fileno() for end in sockets]
        if handles:
            environment[SOCKETS] = ",".join(map(str, handles))
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        self.begin()
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                preexec_fn=end_with_parent,
                pass_fds=handles,
            )

    def finish(self) -> None:
        """Check that the process did its work, and note it, if that was not done.

        Raises:
            ExperimentError: With the end of the log.
        """
        self.ended = time.monotonic()
        status = process_of(self).returncode
        if status or self.outcome() is None:
            who = f"{self} failed (exit status {status})"
            if status < 0:  # it could not say anything itself
                who = f"{self.who} {ending(status)}"
            lines = last_lines(self.log.read_text(errors="replace"))
            raise ExperimentError(
                "\n".join(lines) + f"\n\n{who}; the end of its log, {self.log}, is "
                "above. The same command goes on from here."
            )
        if self.is_finished:  # noted by the machine that did it
            return
        text = json.dumps(self.result()) + "\n"
        write_whole(str(self.folder / "finished.json"), text.encode())

    def stop(self) -> None:
        """End the process, if it runs."""
        if self.process is not None and self.process.poll() is None:
            end_process(cast(subprocess.Popen, self.process))  # others end elsewhere


def config_file_of(folder: Path) -> Path:
    """Where it is written what is to be done in a folder."""
    return folder.parent / f"{folder.name}.py"


def process_of(job: Job) -> "Process":
    """What a job is done in that was started.

    Raises:
        RuntimeError: Where it was not.
    """
    if job.process is None:
        raise RuntimeError(f"{job} was not started.")
    return job.process


def set_aside(folder: Path) -> None:
    """Rename a folder to NAME.old, or NAME.old2 and so on."""
    number = 1
    while (new := Path(f"{folder}.old{number if number > 1 else ''}")).exists():
        number += 1
    folder.rename(new)
