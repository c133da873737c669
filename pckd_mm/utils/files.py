"""Files that are there only when they are whole."""

import contextlib
import glob
import io
import os
import os.path as osp
import re
import shutil
from typing import Any, Dict, List

__all__ = ["WriteError", "file_name", "remove_unfinished", "save_whole", "write_whole"]

# What the name of a file ends with while it is written.
UNFINISHED = ".unfinished"


class WriteError(OSError):
    """A file that could not be written, in words."""

    def __str__(self) -> str:
        return self.strerror or super().__str__()


def file_name(text: str) -> str:
    """A text as the name of a file or folder, which needs no quotes anywhere."""
    return re.sub(r"[^\w.-]+", "_", text)


def write_whole(path: str, content: bytes) -> None:
    """Write a file that gets its name when it is whole and on the disk.

    A process that is killed meanwhile leaves what was there before, and at most a file
    for :func:`remove_unfinished`.

    Args:
        path (str): The file, in a local file system; it may be there already.
        content (bytes): What it is to hold.

    Raises:
        WriteError: Where it cannot be written, as on a full disk; what was there before
            is left.
    """
    folder, part = osp.dirname(osp.abspath(path)), path + UNFINISHED
    try:
        os.makedirs(folder, exist_ok=True)
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.remove(part)
        if isinstance(error, OSError):
            reason = _reason(error, folder, len(content))
            raise WriteError(
                error.errno, f"{path} was not written: {reason}"
            ) from error
        raise
    _sync(folder)


def save_whole(path: str, content: Dict[str, Any]) -> None:
    """Write what torch saves, as :func:`write_whole` does.

    Args:
        path (str): The file.
        content (dict): What :func:`torch.save` takes.

    Raises:
        WriteError: As of :func:`write_whole`.
    """
    import torch  # what writes texts alone does without

    with io.BytesIO() as file:
        torch.save(content, file)
        write_whole(path, file.getvalue())


def _reason(error: OSError, folder: str, size: int) -> str:
    reason = error.strerror or str(error)
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(folder).free
        reason += f"; it takes {size:,} bytes, of which its disk has {free:,} free"
    return reason


def _sync(folder: str) -> None:
    """Put the names in a folder on the disk, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_unfinished(folder: str) -> List[str]:
    """Remove what :func:`write_whole` had begun in processes that were killed.

    Args:
        folder (str): Where nobody writes now.

    Returns:
        list[str]: Paths of the files.
    """
    parts = glob.glob(osp.join(glob.escape(folder), f"*{UNFINISHED}"))
    for part in parts:
        os.remove(part)
    return parts
