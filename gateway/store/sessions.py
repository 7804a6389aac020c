"""The calls and live streams of every node, as Redis knows them. Written behind: nobody waits for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic_core import from_json

from engines.redis_client import cancelled
from gateway.errors import StoreLost
from gateway.store.keys import Keys
from gateway.store.link import Link

SessionKind: TypeAlias = Literal["call", "stream"]
Facts: TypeAlias = Mapping[str, str | int | float]

KINDS: tuple[SessionKind, ...] = ("call", "stream")

_FLUSH_SECONDS = 0.2
"""How long changes are gathered into one write."""
_INDEX_SECONDS = 3600
_LONGEST = 4096
"""Octets of one session's facts."""
_MOST_GONE = 10_000
"""Ends that may wait for Redis; beyond them the TTL does it."""


@dataclass(frozen=True, slots=True)
class Session:
    """One running call or stream."""

    session_id: str
    kind: SessionKind
    node: str
    since: float
    """Seconds since the epoch."""
    facts: Facts
    """Such as route, agent, codec; never words, keys, numbers of the parties or secrets."""


class Sessions:
    """This node's sessions, kept in Redis while they run; and a view over those of all nodes."""

    def __init__(self, link: Link, keys: Keys, node: str, ttl: float) -> None:
        """`ttl`: seconds after which a session that nobody renews is forgotten."""
        self._link, self._keys, self._node, self._ttl = link, keys, node, ttl
        self._ours: dict[tuple[SessionKind, str], bytes] = {}
        self._dirty: set[tuple[SessionKind, str]] = set()
        self._gone: dict[tuple[SessionKind, str], None] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        link.on_return(self._all_again)

    def put(self, kind: SessionKind, session_id: str, since: float, facts: Facts) -> None:
        """A session runs, or something about it changed. Returns at once."""
        told = {"node": self._node, "since": since, "facts": dict(facts)}
        octets = json.dumps(told, separators=(",", ":")).encode()
        if len(octets) > _LONGEST:
            told["facts"] = {}
            octets = json.dumps(told, separators=(",", ":")).encode()
        key = (kind, session_id)
        self._ours[key] = octets
        self._gone.pop(key, None)
        self._dirty.add(key)
        self._news.set()

    def drop(self, kind: SessionKind, session_id: str) -> None:
        """It is over. Returns at once."""
        key = (kind, session_id)
        if self._ours.pop(key, None) is None:
            return
        self._dirty.discard(key)
        if len(self._gone) < _MOST_GONE:
            self._gone[key] = None
        else:
            self._link.dropped["session_ends"] += 1
        self._news.set()

    async def all(self, kind: SessionKind, most: int = 1000) -> list[Session]:
        """Those of every node, at most so many. Raises `StoreLost`."""
        return await self._link.call(lambda client: self._read(client, kind, most))

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="redis-sessions")

    async def aclose(self) -> None:
        """Take this node's sessions out, if Redis lets it. Idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for kind, session_id in list(self._ours):
            self.drop(kind, session_id)
        await self._flush()

    def _all_again(self) -> None:
        self._dirty.update(self._ours)
        self._news.set()

    async def _run(self) -> None:
        while not cancelled():
            try:
                async with asyncio.timeout(self._ttl / 3):
                    await self._news.wait()
                await asyncio.sleep(_FLUSH_SECONDS)
            except TimeoutError:
                self._dirty.update(self._ours)
            self._news.clear()
            await self._flush()

    async def _flush(self) -> None:
        dirty = {key: self._ours[key] for key in self._dirty if key in self._ours}
        gone, self._gone = list(self._gone), {}
        self._dirty.clear()
        if not dirty and not gone:
            return
        try:
            await self._link.call(lambda client: self._write(client, dirty, gone))
        except StoreLost:
            # What runs is written again when Redis is back, and what is over is taken out then.
            self._link.dropped["session_writes"] += len(dirty)
            room = _MOST_GONE - len(self._gone)
            self._gone.update((key, None) for key in gone[:room] if key not in self._ours)
            self._link.dropped["session_ends"] += len(gone[room:])

    async def _write(
        self, client: Any, dirty: Mapping[tuple[SessionKind, str], bytes], gone: list[tuple[SessionKind, str]]
    ) -> None:
        pipe = client.pipeline(transaction=False)
        for (kind, session_id), octets in dirty.items():
            pipe.set(self._keys.session(kind, session_id), octets, px=round(self._ttl * 1000))
            pipe.sadd(self._keys.sessions(kind), session_id)
        for kind in {kind for kind, _ in dirty}:
            pipe.expire(self._keys.sessions(kind), max(_INDEX_SECONDS, round(self._ttl)))
        for kind, session_id in gone:
            pipe.delete(self._keys.session(kind, session_id))
            pipe.srem(self._keys.sessions(kind), session_id)
        await pipe.execute()

    async def _read(self, client: Any, kind: SessionKind, most: int) -> list[Session]:
        index = self._keys.sessions(kind)
        ids = sorted(found.decode() for found in await client.srandmember(index, most) or ())
        if not ids:
            return []
        held = await client.mget([self._keys.session(kind, session_id) for session_id in ids])
        if dead := [session_id for session_id, octets in zip(ids, held, strict=True) if octets is None]:
            await client.srem(index, *dead)
        pairs = zip(ids, held, strict=True)
        read = (_session(kind, session_id, octets) for session_id, octets in pairs if octets is not None)
        return [session for session in read if session is not None]


def _session(kind: SessionKind, session_id: str, octets: bytes) -> Session | None:
    try:
        told = from_json(octets)
        return Session(session_id, kind, str(told["node"]), float(told["since"]), dict(told["facts"]))
    except (ValueError, TypeError, KeyError):
        return None  # nobody of ours wrote it
