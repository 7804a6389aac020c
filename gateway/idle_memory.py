"""Gives memory back to the system when nobody calls.

The C library keeps what was freed, in pieces between what is still used: after thousands of calls that is
tens of megabytes that nobody uses and nobody else can have. Handing it back takes some ten milliseconds, in
which other threads may have to wait for memory, so it is done in a quiet moment only, once after calls.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger(__name__)

_LOOK = 5.0
"""Seconds from one look to the next; a node that was quiet twice in a row is idle."""


async def give_back() -> None:
    """glibc's `malloc_trim(3)`, in a thread. Does nothing where the C library has none."""
    try:
        await asyncio.to_thread(ctypes.CDLL(None).malloc_trim, 0)
    except (OSError, AttributeError):
        log.debug("this C library does not give memory back when asked")


class IdleMemory:
    """Looks now and then whether the node is idle after work."""

    def __init__(self, calls: Callable[[], int], give_back: Callable[[], Awaitable[None]]) -> None:
        """`calls`: how many run now."""
        self._calls = calls
        self._give_back = give_back
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._watch(), name="idle-memory")

    async def aclose(self) -> None:
        """Stop. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        worked, quiet = True, 0  # the models were loaded
        while True:
            await asyncio.sleep(_LOOK)
            if self._calls():
                worked, quiet = True, 0
                continue
            quiet += 1
            if worked and quiet >= 2:
                worked = False
                await self._give_back()
