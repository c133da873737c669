"""How the C library treats the memory of freed tensors."""

import ctypes

__all__ = ["keep_freed_memory"]

# Options of mallopt(3): above which size a block is a mapping of its own, which is
# returned to the system when it is freed; and how much of the heap's top may lie free.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# Some versions of glibc refuse more than the second.
_SIZES = (2**30, 2**25)


def keep_freed_memory() -> bool:
    """Keep the memory of freed tensors in the process, for those of the next step.

    Otherwise the system clears every page of every activation anew in each step. Peak
    and results are not changed by it; the process is as large as its peak from then on.

    Returns:
        bool: Whether the C library took it, which only glibc does.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    if not any(mallopt(_MMAP_THRESHOLD, size) for size in _SIZES):
        return False
    return bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))
