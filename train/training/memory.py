"""The C library's allocator, told to keep what is freed.

A training step frees gigabytes, which the next one asks for again. glibc hands blocks that large
back to the system at once, and each page of them has to be mapped and cleared anew: on a virtual
machine that was half of the time of a step (see LOG.md).
"""

from __future__ import annotations

import ctypes
import os

# Of malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed() -> bool:
    """Let this process keep the memory it frees, for itself; for good.

    Returns:
        Whether the C library could be told; only glibc can, and elsewhere nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None:
        return False
    # No block is mapped by itself, and the heap never shrinks.
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, -1))
