"""What tells one checkpoint from another."""

import functools
import hashlib
from pathlib import Path

from pckd_mm.utils.shipped import beside_configs


def digest(path: str) -> str:
    """What tells one checkpoint from another: a hash of a file, else its name."""
    path = beside_configs(path)
    if not Path(path).is_file():
        return path
    found = Path(path).stat()
    return _digest(path, found.st_mtime_ns, found.st_size)


@functools.lru_cache(None)
def _digest(path: str, changed: int, size: int) -> str:
    """The hash of a file, read once while it stays as it is."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
