"""Gives memory that a model's work needed for a moment back to the system, instead of keeping it for later.

Every turn has another length, so its arrays have other sizes than those before. The C library keeps freed
ones of up to 32 MiB, in a heap for each thread, and then finds that they fit nothing.
"""

from __future__ import annotations

import ctypes
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Of mallopt(3)."""
_LARGE = 256 * 1024
"""Octets from which on an array has pages of its own, which go back when it is freed."""
_FREE = 1024 * 1024
"""Octets that may lie free at the end of a heap."""
_HEAPS = 2


def keep_heap_small(library: Any = None) -> bool:
    """Set it for this process, before it starts threads; False where the C library knows no such thing."""
    mallopt = getattr(library or ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, _FREE), (_ARENA_MAX, _HEAPS))
    return all(mallopt(which, value) == 1 for which, value in settings)
