"""How the C library treats the memory of freed tensors."""

import ctypes

__all__ = ["keep_freed_memory"]

# Options of mallopt(3): from which size on a block is a mapping of its own, returned to
# the system when it is freed, and how much may lie free at the end of the heap.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
# The most that glibc comes to by itself. Larger blocks would wear the heap down, which
# aligned blocks of one size do not fit into again.
_LARGEST_IN_HEAP = 2**25


def keep_freed_memory() -> bool:
    """Keep the memory of freed tensors in the process, for those of the next step.

    Otherwise the system clears the pages of activations anew in each step. Results are
    not changed by it; the process stays about as large as its peak. Blocks of more than
    32 MiB are returned to the system as before.

    Returns:
        bool: Whether the C library took it, which only glibc does.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(
        mallopt(_MMAP_THRESHOLD, _LARGEST_IN_HEAP)
        and mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    )
