"""A worker tells gateways, through Redis, that it lives and how much it has to do, until it drains."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from engines.fleet import AnnounceSettings, WorkerKind
from engines.fleet_redis import Announcement, index_key, worker_key
from engines.redis_client import LOST, RedisClient, cancelled, connect
from engines.redis_url import shown

log = structlog.get_logger(__name__)

_DEADLINE = 1.0
"""Seconds for one heartbeat, and for the withdrawal; a longer wait would outlive the next heartbeat."""
_FORGET = """
local held = redis.call('GET', KEYS[1])
if held and string.find(held, ARGV[1], 1, true) then
  redis.call('DEL', KEYS[1])
  redis.call('SREM', KEYS[2], ARGV[2])
end
return 1
"""
_INDEX_SECONDS = 3600
"""The set of names is forgotten when nobody has spoken for so long."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a worker says in one heartbeat."""

    engine: str
    running: int
    places: int
    ready: bool


class Announcer:
    """Says it every heartbeat from `start` until `withdraw`. A lost Redis costs the worker nothing."""

    def __init__(
        self,
        settings: AnnounceSettings,
        kind: WorkerKind,
        address: str,
        load: Callable[[], Load],
        client: RedisClient | None = None,
    ) -> None:
        """`address`: told unless the settings advertise another. `client`: another than the settings' own.

        Raises `ValueError` for a URL that cannot be used.
        """
        self._settings = settings
        self._address = settings.advertise or address
        self._load = load
        self._client = client or connect(settings.redis, seconds=_DEADLINE, connections=2)
        self._owned = client is None
        self._instance = uuid.uuid4().hex
        self._index = index_key(settings.prefix, kind)
        self._name = settings.name or self._address
        self._key = worker_key(settings.prefix, kind, self._name)
        self._beating: asyncio.Task[None] | None = None
        self._lost = False

    def start(self) -> None:
        """Begin to speak, in the background."""
        if self._beating is None:
            where = shown(self._settings.redis) if self._settings.redis else ""
            log.info("announced", name=self._name, address=self._address, redis=where)
            self._beating = asyncio.get_running_loop().create_task(self._beat(), name="fleet-announce")

    async def withdraw(self) -> None:
        """Stop speaking and be forgotten at once; without Redis, when the TTL has passed. Idempotent."""
        beating, self._beating = self._beating, None
        if beating is None:
            return
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        try:
            async with asyncio.timeout(_DEADLINE):
                await self._forget()
        except LOST as error:
            log.info("could not withdraw; the announcement dies by itself", why=str(error) or "too slow")

    async def aclose(self) -> None:
        """Withdraw and close the connection. Idempotent."""
        await self.withdraw()
        if self._owned:
            await self._client.aclose()

    async def _beat(self) -> None:
        while not cancelled():
            try:
                async with asyncio.timeout(_DEADLINE):
                    await self._say()
                if self._lost:
                    log.info("announced again")
                self._lost = False
            except LOST as error:
                if not self._lost:
                    log.warning("not announced: Redis does not answer", why=str(error) or "too slow")
                self._lost = True
            if not cancelled():
                await asyncio.sleep(self._settings.heartbeat_seconds)

    async def _say(self) -> None:
        load, ttl_ms = self._load(), round(self._settings.ttl_seconds * 1000)
        told = Announcement(
            self._address, load.engine, load.running, load.places, load.ready, self._instance, ttl_ms
        )
        pipe = self._client.pipeline(transaction=False)
        pipe.set(self._key, told.encoded(), px=ttl_ms)
        pipe.sadd(self._index, self._name)
        pipe.expire(self._index, _INDEX_SECONDS)
        await pipe.execute()

    async def _forget(self) -> None:
        """Take the announcement away, unless another process of this name made it."""
        call: Any = self._client.eval(_FORGET, 2, self._key, self._index, self._instance, self._name)
        await call
