"""How much of the decode threads' time live streams take, and would take with one stream more.

Finals are owed, and early decodes become finals: threads without time for them answer late, then ever
later, since callers go on talking. The wait in the queue says so when it has happened; the time that the work
takes says so before. Interims and recordings do not count: they take what is left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

_WINDOW = 20.0
"""Seconds that count."""
_KNOWN = 40.0
"""Seconds of streams within the window from which what a stream takes is known well enough to refuse one."""
_KEPT = 8192
"""Pieces of work that are remembered: some hundred a second."""


class OwedLoad:
    """Belongs to one event loop. Pure but for its clock."""

    def __init__(self, threads: int, spent: Callable[[], float], clock: Callable[[], float]) -> None:
        """`spent`: seconds of threads that owed work has taken since the start."""
        self._threads = threads
        self._spent = spent
        self._clock = clock
        self._streams = 0
        self._at = clock()
        self._streamed = 0.0
        """Seconds of streams since the start: three for two seconds are six."""
        self._marks: deque[tuple[float, float, float]] = deque([(self._at, 0.0, spent())], maxlen=_KEPT)
        """When, and what had been streamed and spent by then."""

    def opened(self) -> None:
        """One stream more."""
        self._mark()
        self._streams += 1

    def closed(self) -> None:
        """One stream less."""
        self._mark()
        self._streams -= 1

    def share(self) -> float:
        """Of the threads' time that was taken over the last seconds; 1 is all of it."""
        at, _, spent = self._mark()
        since, _, before = self._marks[0]
        return (spent - before) / (max(at - since, 1.0) * self._threads)

    def with_one_more(self) -> float:
        """The share with one more stream that talks as the others do; 0 while too little is known."""
        _, streamed, spent = self._mark()
        _, streamed_before, spent_before = self._marks[0]
        if streamed - streamed_before < _KNOWN:
            return 0.0
        each = (spent - spent_before) / (streamed - streamed_before)
        return each * (self._streams + 1) / self._threads

    def _mark(self) -> tuple[float, float, float]:
        now = self._clock()
        self._streamed += self._streams * (now - self._at)
        self._at = now
        mark = (now, self._streamed, self._spent())
        if now - self._marks[-1][0] >= 0.5:
            self._marks.append(mark)
        while len(self._marks) > 1 and self._marks[1][0] <= now - _WINDOW:
            self._marks.popleft()
        return mark
