"""Python's garbage collector in a process that carries sound: a full pass stops everything while it looks.

It looks at every object that could be part of a cycle, those that were made once at the start among them: 80
to 300 ms for a node with its engines, measured, and more than a second with thousands of sockets. So what is
there at the start is taken out of its way, and full passes are rare; what is dropped without being part of a
cycle, nearly everything here, is freed at once as ever.
"""

from __future__ import annotations

import gc

_YOUNG, _MIDDLE, _OLD = 2_000, 10, 200
"""New objects until the youngest are looked at; such passes until the middle are, and those until all."""


def settle() -> None:
    """To be called once everything is loaded. Idempotent."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
