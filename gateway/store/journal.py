"""The usage journal: written to disk first, then to Redis, counted once whatever dies in between.

An event stays on disk until Redis has had it for some seconds, so that a Redis that is killed and comes back
without its last second is given it again. A mark for each event keeps it from counting twice.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from redis.exceptions import ResponseError

from gateway.errors import StoreLost
from gateway.store.keys import Keys
from gateway.store.link import Link
from gateway.store.spool import Event, Spool, SpoolFull
from media.clock import now

log = structlog.get_logger(__name__)

GROUP = "report"
_BATCH = 200
"""Events of one write."""
_QUEUED = 10_000
"""Events that may wait for the disk."""
_SURE_SECONDS = 5.0
"""How long Redis must have had an event before the disk forgets it: a killed one loses its last second."""
_SEEN_SECONDS = 7 * 86_400
_IDLE_SECONDS = 0.5

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
    redis.call('XADD', KEYS[1], '*', 'id', ARGV[2 * at - 2], 'event', ARGV[2 * at - 1])
  end
end
return 1
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event in a reporter's hands."""

    place: str
    event_id: str
    body: bytes


class Journal:
    """Takes events at once; everything else happens behind. Belongs to the loop that starts it."""

    def __init__(self, link: Link, keys: Keys, folder: Path, spool_bytes: int) -> None:
        self._link, self._keys = link, keys
        self._folder, self._spool_bytes = folder, spool_bytes
        self._spool: Spool | None = None
        self._queue: deque[Event] = deque()
        self._news = asyncio.Event()
        self._again = False
        """Whether everything on disk must be handed on (again)."""
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self.counts: Counter[str] = Counter()
        link.on_return(self._all_again)

    def append(self, event: Mapping[str, Any]) -> str:
        """Note an event; gives its id. Returns at once; too many at once are dropped and counted."""
        event_id = uuid.uuid4().hex
        if len(self._queue) >= _QUEUED:
            self._link.dropped["usage"] += 1
            return event_id
        self._queue.append(Event(event_id, json.dumps(event, separators=(",", ":")).encode()))
        self.counts["noted"] += 1
        self._news.set()
        return event_id

    async def start(self) -> None:
        """Open the folder, find what an earlier run left, begin. Raises `OSError`."""
        self._spool = await asyncio.to_thread(Spool, self._folder, self._spool_bytes)
        self._again = bool(self._spool.volumes)
        self._task = asyncio.get_running_loop().create_task(self._run(), name="usage-journal")

    async def aclose(self) -> None:
        """Have everything on disk, and in Redis if it is there. Idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        # Not cancelled: a thread may be writing.
        self._stopping = True
        self._news.set()
        await asyncio.gather(task, return_exceptions=True)
        assert self._spool is not None
        self._spool.close()

    async def read(self, reporter: str, most: int = 1000, silent: float = 60.0) -> list[Entry]:
        """Events to report: those that a reporter took and never settled for so long, then new ones.

        Raises `StoreLost`.
        """
        return await self._link.call(lambda client: self._read(client, reporter, most, silent))

    async def settle(self, entries: Sequence[Entry]) -> None:
        """They were reported; they are forgotten. Raises `StoreLost`."""
        places = [entry.place for entry in entries]
        await self._link.call(lambda client: client.eval(_SETTLE, 1, self._keys.usage, GROUP, *places))

    def stats(self) -> dict[str, int]:
        """Events noted, handed on, and waiting; octets on disk."""
        spool = self._spool
        waiting = sum(len(volume.open_ids) for volume in spool.volumes) if spool else 0
        return {
            **self.counts,
            "waiting": waiting + len(self._queue),
            "spool_bytes": spool.size if spool else 0,
        }

    def _all_again(self) -> None:
        self._again = True
        self._news.set()

    async def _run(self) -> None:
        while not (self._stopping and not self._queue):
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            while self._queue:
                await self._step()
            if self._again and self._link.up:
                await self._hand_on_again()
            await self._tidy()

    async def _step(self) -> None:
        """One batch: to disk, then to Redis."""
        assert self._spool is not None
        batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
        on_disk = True
        try:
            await asyncio.to_thread(self._spool.write, batch)
        except (SpoolFull, OSError) as error:
            log.error("usage is not on disk", why=str(error) or "the spool is full", events=len(batch))
            on_disk = False
        if not await self._publish(batch):
            self._again = True
            if not on_disk:
                self._link.dropped["usage"] += len(batch)

    async def _publish(self, batch: Sequence[Event]) -> bool:
        assert self._spool is not None
        keys = [self._keys.usage, *(self._keys.usage_seen(event.event_id) for event in batch)]
        arguments: list[Any] = [_SEEN_SECONDS]
        for event in batch:
            arguments += [event.event_id, event.body]
        try:
            await self._link.call(lambda client: client.eval(_PUBLISH, len(keys), *keys, *arguments))
        except StoreLost:
            return False
        self.counts["handed_on"] += len(batch)
        self._spool.taken([event.event_id for event in batch], now())
        return True

    async def _hand_on_again(self) -> None:
        """All that is on disk; what Redis still has, it passes over."""
        assert self._spool is not None
        self._again = False
        for volume in list(self._spool.volumes):
            try:
                events = await asyncio.to_thread(self._spool.read, volume.path)
            except OSError as error:
                log.error("spooled usage cannot be read", file=volume.path.name, why=error.strerror)
                continue
            for at in range(0, len(events), _BATCH):
                if not await self._publish(events[at : at + _BATCH]):
                    self._again = True
                    return

    async def _tidy(self) -> None:
        assert self._spool is not None
        if self._spool.volumes and self._link.up and not self._again:
            await asyncio.to_thread(self._spool.prune, now() - _SURE_SECONDS)

    async def _read(self, client: Any, reporter: str, most: int, silent: float) -> list[Entry]:
        try:
            return await self._take(client, reporter, most, silent)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
        try:
            await client.xgroup_create(self._keys.usage, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        return await self._take(client, reporter, most, silent)

    async def _take(self, client: Any, reporter: str, most: int, silent: float) -> list[Entry]:
        usage = self._keys.usage
        old = await client.xautoclaim(usage, GROUP, reporter, round(silent * 1000), "0-0", count=most)
        found = [entry for entry in map(_entry, old[1]) if entry is not None]
        if len(found) < most:
            new = await client.xreadgroup(GROUP, reporter, {usage: ">"}, count=most - len(found))
            streams = list(new.values()) if isinstance(new, dict) else [part[1] for part in new or ()]
            for entries in streams:
                flat = entries[0] if entries and isinstance(entries[0], list) else entries
                found.extend(entry for entry in map(_entry, flat) if entry is not None)
        return found


def _entry(told: Any) -> Entry | None:
    place, fields = told
    if not fields:
        return None
    return Entry(place.decode(), fields.get(b"id", b"").decode(), fields.get(b"event", b"{}"))
