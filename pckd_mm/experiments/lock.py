"""One call at a time in a work dir."""

import contextlib
import fcntl
from pathlib import Path
from typing import Iterator

from .job import ExperimentError

__all__ = ["alone_in"]

LOCK = ".lock"


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other calls out of a work dir, whose runs they would train as well.

    The lock ends with the process, however that ends. Where the file system has no
    locks, there is none.

    Args:
        folder (Path): The work dir.

    Yields:
        None: Inside, no other call is there.

    Raises:
        ExperimentError: Where one is, and where nothing can be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / LOCK, "w")
    except OSError as error:
        raise ExperimentError(
            f"Nothing can be written into {folder} ({error.strerror}); expected a "
            "folder of yours: give another --work-dir."
        ) from None
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ExperimentError(
                f"Another call trains in {folder} now; expected one at a time, since "
                "both would train the same runs: wait for it, name all runs in one "
                "call, or give another --work-dir."
            ) from None
        except OSError:
            pass  # the file system has no locks
        yield
