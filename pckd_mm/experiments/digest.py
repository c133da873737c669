"""What tells one checkpoint from another."""

import functools
import hashlib
import re
from pathlib import Path
from typing import Optional

from pckd_mm.utils.shipped import beside_configs

__all__ = ["digest", "teacher_line"]

_TEACHER = "# The teacher: "


def digest(path: str) -> str:
    """What tells one checkpoint from another: a hash of a file, else its name."""
    path = beside_configs(path)
    if not Path(path).is_file():
        return path
    found = Path(path).stat()
    return _digest(path, found.st_mtime_ns, found.st_size)


def teacher_line(checkpoint: str, before: Optional[Path] = None) -> str:
    """The line that tells a run's teacher from others, among the first of its file.

    Args:
        checkpoint (str): The teacher's checkpoint.
        before (Path, optional): The run's file as it was written before. Its line stays
            where the checkpoint is gone since, whose content nobody can tell.
    """
    told = digest(checkpoint)
    if before is not None and told == beside_configs(checkpoint) and before.is_file():
        text = before.read_text(encoding="utf-8")
        if found := re.search(f"^{_TEACHER}(.*)$", text, re.MULTILINE):
            told = found[1]
    return f"{_TEACHER}{told}\n"


@functools.lru_cache(None)
def _digest(path: str, changed: int, size: int) -> str:
    """The hash of a file, read once while it stays as it is."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
