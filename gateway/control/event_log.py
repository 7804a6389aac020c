"""Everything that happens to calls, in one order, kept in memory for whoever comes back and asks for more.

Each event has a number that only grows. Together with the log's epoch, which is new at every start of the
node, it makes the event's id, and that id is the cursor from which reading goes on. A reader has no queue of
its own: he reads from his place, and when the log has moved past it he is told how much is gone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

NOWHERE: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One event of one call."""

    number: int
    """From 1 up, without holes."""
    event_id: str
    """Epoch and number; the same in every channel and every try of a delivery."""
    kind: str
    """`call.answered` and the like; `gateway/control/README.md` lists them."""
    call_id: str
    at: str
    """UTC, ISO 8601 with milliseconds."""
    data: Mapping[str, Any]
    private: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What only those may see who may hear the call: words and keys."""
    only_private: bool = False
    """Without the private part there is nothing to tell."""

    def as_json(self, *, words: bool = False) -> dict[str, Any]:
        """Plain values. `words`: with the private part."""
        return {
            "id": self.event_id,
            "type": self.kind,
            "call_id": self.call_id,
            "at": self.at,
            "data": {**self.data, **(self.private if words else NOWHERE)},
        }


@dataclass(frozen=True, slots=True)
class Interest:
    """Which events somebody wants."""

    call_id: str = ""
    """"" for every call."""
    kinds: Collection[str] = ()
    """Full kinds; () for all."""
    words: bool = False
    """May hear the call, and wants to."""

    def covers(self, event: LoggedEvent) -> bool:
        """Whether this one is among them."""
        if event.only_private and not self.words:
            return False
        return self.call_id in ("", event.call_id) and (not self.kinds or event.kind in self.kinds)


@dataclass(frozen=True, slots=True)
class Page:
    """What one reading gave."""

    events: Sequence[LoggedEvent]
    last: int
    """Number up to which everything was looked at; reading goes on after it."""
    missed: int = 0
    """Events that were forgotten before this reader came to them."""


class CursorUnknown(ValueError):
    """A cursor that is none of ours."""


class EventLog:
    """Keeps the last so many events. Belongs to one event loop."""

    def __init__(self, kept: int, epoch: str, wall: Callable[[], datetime]) -> None:
        """`kept`: events in memory. `epoch`: letters and digits, another one at each start."""
        self._kept: deque[LoggedEvent] = deque(maxlen=kept)
        self._epoch = epoch
        self._wall = wall
        self._number = 0
        self._news = asyncio.Event()
        self._listeners: list[Callable[[LoggedEvent], None]] = []

    @property
    def last(self) -> int:
        """Number of the newest event; 0 before the first."""
        return self._number

    def cursor(self, number: int) -> str:
        """The id of the event with this number."""
        return f"{self._epoch}-{number}"

    def place(self, cursor: str) -> int | None:
        """The number after which to read; "" is the end of the log.

        None for a cursor of an earlier start of this node: what came since then is gone. Raises
        `CursorUnknown`.
        """
        if not cursor:
            return self._number
        epoch, _, number = cursor.rpartition("-")
        if not (number.isascii() and number.isdigit() and len(number) < 19 and epoch.isalnum()):
            raise CursorUnknown("not the id of an event")
        if epoch != self._epoch:
            return None
        return min(int(number), self._number)

    def listen(self, listener: Callable[[LoggedEvent], None]) -> None:
        """Call `listener` with each new event; it must return at once and raise nothing."""
        self._listeners.append(listener)

    def append(
        self,
        kind: str,
        call_id: str,
        data: Mapping[str, Any] = NOWHERE,
        private: Mapping[str, Any] = NOWHERE,
        *,
        only_private: bool = False,
    ) -> None:
        """One more event."""
        self._number += 1
        at = self._wall().isoformat(timespec="milliseconds")
        event = LoggedEvent(
            self._number, self.cursor(self._number), kind, call_id, at, data, private, only_private
        )
        self._kept.append(event)
        for listener in self._listeners:
            listener(event)
        news, self._news = self._news, asyncio.Event()
        news.set()

    def read(self, after: int, interest: Interest, most: int = 500) -> Page:
        """What came after a number, the oldest first, at most so many."""
        oldest = self._kept[0].number if self._kept else self._number + 1
        missed = max(0, oldest - 1 - after)
        found: list[LoggedEvent] = []
        last = max(after, oldest - 1)
        for event in islice(self._kept, max(0, after + 1 - oldest), None):
            last = event.number
            if interest.covers(event):
                found.append(event)
                if len(found) >= most:
                    break
        return Page(found, last, missed)

    async def more(self, after: int) -> None:
        """Wait until there is an event after this number."""
        while self._number <= after:
            await self._news.wait()
