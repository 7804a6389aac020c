"""Usage of all nodes on one Redis stream, on its way to the licence proxy; counted once, whatever dies.

An event is in the node's journal on disk first, and stays there until Redis has had it for some seconds, so
that a Redis that is killed and comes back without its last second is given it again. A mark for each event
keeps it from counting twice. Whichever node reports next takes what waits, also that of a node that is gone.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from redis.exceptions import ResponseError

from gateway.errors import StoreLost
from gateway.store.keys import Keys
from gateway.store.link import Link
from license.journal import Batch
from license.outbox import DiskOutbox
from license.usage import BadEvent, UsageEvent
from media.clock import now

log = structlog.get_logger(__name__)

GROUP = "report"
_MOST = 1000
"""Events that are reported together."""
_WRITE = 200
"""Events of one script."""
_SURE_SECONDS = 5.0
"""How long Redis must have had an event before the disk forgets it: a killed one loses its last second."""
_SEEN_SECONDS = 7 * 86_400
_SILENT_SECONDS = 60.0
"""A reporter silent for so long loses what it took to another."""
_LOOK_SECONDS = 0.5

_SETTLE = """
for at = 2, #ARGV do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[at])
  redis.call('XDEL', KEYS[1], ARGV[at])
end
return 1
"""

_PUBLISH = """
for at = 2, #KEYS do
  if redis.call('SET', KEYS[at], 1, 'NX', 'EX', ARGV[1]) then
    redis.call('XADD', KEYS[1], '*', 'event', ARGV[at])
  end
end
return 1
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """Events in a reporter's hands."""

    events: tuple[UsageEvent, ...]
    places: tuple[str, ...]
    """In the stream."""


class UsageStream:
    """A `license.outbox.Outbox` that all nodes share. Belongs to the loop that starts it."""

    def __init__(self, link: Link, keys: Keys, node: str, disk: DiskOutbox) -> None:
        """`node`: this reporter's name, unique among all. `disk`: of this node, and started by this."""
        self._link, self._keys, self._node, self._disk = link, keys, node, disk
        self._handed: deque[tuple[Batch, float]] = deque()
        """Redis has them, the disk still keeps them: the batch, and since when."""
        self._task: asyncio.Task[None] | None = None
        self._lost = False
        self.counts: Counter[str] = Counter()
        link.on_return(self._all_again)

    def note(self, event: UsageEvent) -> None:
        """See `Outbox.note`."""
        self.counts["noted"] += 1
        self._disk.note(event)

    async def start(self) -> None:
        """Begin, with what an earlier run left on disk. Raises `OSError`."""
        await self._disk.start()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="usage-stream")

    async def aclose(self) -> None:
        """Have everything on disk, and in Redis if it is there. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._step()
        await self._disk.aclose()

    async def take(self, silent: float = _SILENT_SECONDS) -> Taken | None:
        """See `Outbox.take`: what somebody took `silent` seconds ago and never settled, then what is new."""
        try:
            entries = await self._link.call(lambda client: self._read(client, silent))
        except StoreLost:
            return None
        if not entries:
            return None
        found = [_event(octets) for _, octets in entries]
        return Taken(
            tuple(event for event in found if event is not None), tuple(place for place, _ in entries)
        )

    async def settled(self, parcel: Taken) -> None:
        """See `Outbox.settled`; without Redis they are reported again, with the same ids."""
        try:
            await self._eval(_SETTLE, [self._keys.usage], [GROUP, *parcel.places])
        except StoreLost:
            self._link.dropped["usage_settled"] += len(parcel.places)

    def stats(self) -> dict[str, float]:
        """Events noted, handed on to Redis and dropped; octets on disk."""
        return {**self.counts, "dropped": self._disk.dropped, "spool_bytes": self._disk.waiting_octets}

    def _all_again(self) -> None:
        self._lost = True

    async def _run(self) -> None:
        while True:
            try:
                await self._step()
            except OSError as error:
                log.error("usage on disk cannot be read", why=error.strerror or str(error))
            await asyncio.sleep(_LOOK_SECONDS)

    async def _step(self) -> None:
        """Hand on what is new; what Redis may have lost again; forget what it surely has."""
        if self._lost:
            self._lost = False
            self._handed.clear()
        while self._handed and now() - self._handed[0][1] >= _SURE_SECONDS:
            await self._disk.settled(self._handed.popleft()[0])
        after = self._handed[-1][0] if self._handed else None
        while (batch := await self._disk.take(after)) is not None and await self._publish(batch.events):
            self._handed.append((batch, now()))
            after = batch

    async def _publish(self, events: Sequence[UsageEvent]) -> bool:
        for at in range(0, len(events), _WRITE):
            some = events[at : at + _WRITE]
            keys = [self._keys.usage, *(self._keys.usage_seen(event.event_id) for event in some)]
            arguments = [str(_SEEN_SECONDS), *(event.line() for event in some)]
            try:
                await self._eval(_PUBLISH, keys, arguments)
            except StoreLost:
                return False
            self.counts["handed_on"] += len(some)
        return not self._lost

    async def _eval(self, script: str, keys: Sequence[str], arguments: Sequence[str]) -> None:
        await self._link.call(lambda client: client.eval(script, len(keys), *keys, *arguments))

    async def _read(self, client: Any, silent: float) -> list[tuple[str, bytes]]:
        try:
            return await self._entries(client, silent)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
        try:
            await client.xgroup_create(self._keys.usage, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        return await self._entries(client, silent)

    async def _entries(self, client: Any, silent: float) -> list[tuple[str, bytes]]:
        usage, node = self._keys.usage, self._node
        old = await client.xautoclaim(usage, GROUP, node, round(silent * 1000), "0-0", count=_MOST)
        found = _pairs(old[1])
        if len(found) < _MOST:
            new = await client.xreadgroup(GROUP, node, {usage: ">"}, count=_MOST - len(found))
            streams = list(new.values()) if isinstance(new, dict) else [part[1] for part in new or ()]
            for entries in streams:
                found += _pairs(entries[0] if entries and isinstance(entries[0], list) else entries)
        return found


def _pairs(entries: Any) -> list[tuple[str, bytes]]:
    return [(place.decode(), fields.get(b"event", b"")) for place, fields in entries if fields]


def _event(octets: bytes) -> UsageEvent | None:
    try:
        return UsageEvent.read(json.loads(octets))
    except (BadEvent, ValueError, RecursionError):
        return None  # nobody of ours wrote it
