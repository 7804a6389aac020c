"""The fleet as workers announce it in Redis.

One set per kind names the workers; each worker has a key of its own that says what it is and how much it has
to do, and that dies with it. Keys of one kind share a slot of a cluster.

    {prefix}:{workers}:asr             set of names
    {prefix}:{workers}:asr:<name>      JSON of `Announcement`, with a TTL
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import structlog
from pydantic_core import from_json

from engines.fleet import KINDS, WorkerKind, WorkerSeen, check_address
from engines.redis_client import LOST, RedisClient, cancelled
from media.clock import now

log = structlog.get_logger(__name__)

_LONGEST = 4096
"""Octets of one announcement."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a worker says of itself; unknown fields of later versions are passed over."""

    address: str
    engine: str
    running: int
    places: int
    ready: bool
    instance: str
    """Another one at each start: an old process never withdraws what a new one announced."""
    ttl_ms: int
    """The key's whole life; with what is left of it, a reader knows when the worker spoke."""

    def encoded(self) -> bytes:
        """As it stands in Redis."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def decoded(cls, octets: bytes) -> Announcement:
        """Raises `ValueError` for what no worker of ours wrote."""
        if len(octets) > _LONGEST:
            raise ValueError("too long")
        # Not json.loads: that one follows nesting until Python's stack is full.
        told = from_json(octets)
        if not isinstance(told, dict):
            raise ValueError("no object")
        fields: dict[str, type] = {
            "address": str, "engine": str, "running": int, "places": int,
            "ready": bool, "instance": str, "ttl_ms": int,
        }  # fmt: skip
        for name, kind in fields.items():
            if type(told.get(name)) is not kind:
                raise ValueError(f"{name} is missing or of another type")
        check_address("address", told["address"])
        return cls(**{name: told[name] for name in fields})


def index_key(prefix: str, kind: WorkerKind) -> str:
    """Where the names of the workers of a kind are."""
    return f"{prefix}:{{workers}}:{kind}"


def worker_key(prefix: str, kind: WorkerKind, name: str) -> str:
    """Where one worker's announcement is."""
    return f"{index_key(prefix, kind)}:{name}"


@dataclass(frozen=True, slots=True)
class RedisFleetSettings:
    """How gateways look for workers."""

    refresh_seconds: float = 1.0
    """0.05 to 60: how often the announcements are read."""
    keep_seconds: float = 300.0
    """0 to 86400: how long the last known workers count while Redis is gone; then there are none."""
    deadline_seconds: float = 1.0
    """0.05 to 60: for one reading."""
    most: int = 256
    """1 to 10,000: workers of one kind that are looked at."""

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "refresh_seconds": (0.05, 60), "keep_seconds": (0, 86_400),
            "deadline_seconds": (0.05, 60), "most": (1, 10_000),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: give {low:g} to {high:g}")


class RedisFleet:
    """Serves `Fleet`: reads the announcements in the background. Belongs to the loop that starts it."""

    def __init__(
        self, client: RedisClient, *, prefix: str = "offhook", settings: RedisFleetSettings | None = None
    ) -> None:
        """The client stays the caller's, who closes it after the fleet."""
        self._client = client
        self._prefix = prefix
        self._settings = settings or RedisFleetSettings()
        self._seen: dict[WorkerKind, tuple[WorkerSeen, ...]] = dict.fromkeys(KINDS, ())
        self._read_at = 0.0
        self._lost = False
        self._reading: asyncio.Task[None] | None = None
        self._counts = {"reads": 0, "failures": 0, "unreadable": 0}

    def workers(self, kind: WorkerKind) -> tuple[WorkerSeen, ...]:
        """See `Fleet.workers`. Without Redis, the last known ones for `keep_seconds`."""
        if self._lost and now() - self._read_at > self._settings.keep_seconds:
            return ()
        return self._seen[kind]

    @property
    def lost(self) -> bool:
        """Whether the last reading failed: the snapshot is getting old."""
        return self._lost

    async def start(self) -> None:
        """See `Fleet.start`: reads once, if Redis lets it, and then goes on."""
        self._read_at = now()
        await self._read()
        self._reading = asyncio.get_running_loop().create_task(self._follow(), name="fleet-redis")

    async def aclose(self) -> None:
        """See `Fleet.aclose`."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def stats(self) -> dict[str, int | float]:
        """Counters since the start, workers known, and whether Redis is lost."""
        known = {f"{kind}_workers": len(self.workers(kind)) for kind in KINDS}
        return {**self._counts, **known, "lost": int(self._lost)}

    async def _follow(self) -> None:
        while not cancelled():
            await asyncio.sleep(self._settings.refresh_seconds)
            await self._read()

    async def _read(self) -> None:
        """Take a new snapshot of both kinds, or keep the one there is."""
        try:
            async with asyncio.timeout(self._settings.deadline_seconds):
                fresh = {kind: await self._workers(kind) for kind in KINDS}
        except LOST as error:
            self._counts["failures"] += 1
            if not self._lost:
                log.warning("worker registry lost; the last known workers stay", why=str(error) or "too slow",
                            seconds=self._settings.keep_seconds)  # fmt: skip
            self._lost = True
            return
        if self._lost:
            log.info("worker registry is back")
        self._seen, self._lost, self._read_at = fresh, False, now()
        self._counts["reads"] += 1

    async def _workers(self, kind: WorkerKind) -> tuple[WorkerSeen, ...]:
        # SRANDMEMBER with a count is a SMEMBERS that cannot grow without bound.
        index = index_key(self._prefix, kind)
        names = sorted(await cast(Any, self._client.srandmember(index, self._settings.most)) or ())
        if not names:
            return ()
        pipe = self._client.pipeline(transaction=False)
        for name in names:
            key = worker_key(self._prefix, kind, _text(name))
            pipe.get(key)
            pipe.pttl(key)
        answers: Sequence[Any] = await pipe.execute()
        dead = [name for name, octets in zip(names, answers[::2], strict=True) if octets is None]
        if dead:
            # A worker that came back between the two reads names itself again with its next heartbeat.
            await cast(Any, self._client.srem(index, *dead))
        seen = zip(names, answers[::2], answers[1::2], strict=True)
        found = (self._one(kind, _text(name), octets, left) for name, octets, left in seen if octets)
        return tuple(worker for worker in found if worker is not None)

    def _one(self, kind: WorkerKind, name: str, octets: bytes, left_ms: int) -> WorkerSeen | None:
        try:
            told = Announcement.decoded(octets)
        except ValueError as error:
            self._counts["unreadable"] += 1
            log.debug("an announcement was passed over", kind=kind, name=name, why=str(error))
            return None
        age = max(0.0, (told.ttl_ms - max(left_ms, 0)) / 1000)
        return WorkerSeen(
            name, kind, told.address, told.engine, told.running, told.places, told.ready, now() - age
        )


def _text(name: bytes | str) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name
