"""Keeps a reply from falling silent in its middle: whoever has begun to speak goes on, or is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_LOOK = 0.05
"""Seconds between two looks whether the caller still hears something."""


@dataclass(frozen=True, slots=True)
class Lull:
    """What is done about silence in the middle of a reply. Seconds of silence."""

    silent: Callable[[], bool]
    """Whether the caller has heard all there is, and waits for more."""
    fill: Callable[[], None]
    """Asks the caller for patience; called once for each silence."""
    filler_after: float
    end_after: float
    """The filler does not interrupt the count."""


@contextmanager
def watched(lull: Lull, deadline: asyncio.Timeout) -> Iterator[None]:
    """While the block waits for more of the reply: filler, then `deadline` is due at once."""
    watch = _Watch(lull, deadline)
    watch.look()
    try:
        yield
    finally:
        watch.stop()


class _Watch:
    def __init__(self, lull: Lull, deadline: asyncio.Timeout) -> None:
        self._lull = lull
        self._deadline = deadline
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None
        """When the silence began; a filler does not end it."""
        self._filled = False

    def look(self) -> None:
        """Look again and again, until stopped."""
        now, lull = self._loop.time(), self._lull
        if self._since is None and lull.silent():
            self._since = now
        silence = now - self._since if self._since is not None else 0.0
        if silence >= lull.end_after:
            self._deadline.reschedule(now)
            return
        if silence >= lull.filler_after and not self._filled:
            self._filled = True
            lull.fill()
        self._timer = self._loop.call_later(_LOOK, self.look)

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()
