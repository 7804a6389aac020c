"""The node's store: finds or makes a Redis, and holds what is built on it. The composition root opens one."""

from __future__ import annotations

import time
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import structlog

from engines.fleet_redis import RedisFleet
from engines.redis_client import RedisClient, connect
from engines.redis_url import shown
from gateway.errors import PartFailed
from gateway.store.jobs import Jobs
from gateway.store.keys import Keys
from gateway.store.limits import Limits
from gateway.store.link import Link
from gateway.store.local_server import LocalServer, ServerUnfit, installed
from gateway.store.outbound import OutboundTotals
from gateway.store.placed_calls import PlacedCalls
from gateway.store.prompts import PromptShelf
from gateway.store.sessions import Sessions
from gateway.store.settings import RedisSettings
from gateway.store.usage_stream import UsageStream
from license.outbox import DiskOutbox

log = structlog.get_logger(__name__)

Stats: TypeAlias = dict[str, float]


@dataclass(frozen=True, slots=True)
class _Found:
    client: RedisClient
    mode: str
    server: LocalServer | None


class Store:
    """Everything that is kept in Redis. Open it with `open_store`; calls never wait for it."""

    def __init__(self, settings: RedisSettings, found: _Found, node: str, folder: Path) -> None:
        self._settings, self._server = settings, found.server
        self._node = f"{node}-{uuid.uuid4().hex[:8]}"
        self.mode = found.mode
        """`external`, `server` (a local one, ours) or `process` (in memory)."""
        self.keys = keys = Keys(settings.prefix)
        self.link = link = Link(found.client, settings.deadline_seconds)
        self.fleet = RedisFleet(found.client, prefix=settings.prefix)
        """Workers that announce themselves."""
        self.sessions = Sessions(link, keys, self._node, settings.session_seconds)
        self.jobs = Jobs(link, keys, most=settings.jobs, keep=settings.job_seconds)
        self.usage = UsageStream(
            link, keys, self._node, DiskOutbox(folder / "usage", settings.spool_mb * 1_000_000)
        )
        self.limits = Limits(link, keys, time.monotonic)
        self.outbound = OutboundTotals(link, keys)
        self.placed = PlacedCalls(link, keys)
        self.prompts = PromptShelf(link, keys, settings.prompt_seconds)
        self._closing = AsyncExitStack()

    async def start(self) -> None:
        """Begin; a Redis that is not there yet is waited for behind. Raises `PartFailed`."""
        self._closing.push_async_callback(self.link.aclose)
        await self.link.start()
        self._closing.push_async_callback(self.fleet.aclose)
        await self.fleet.start()
        self._closing.push_async_callback(self.sessions.aclose)
        self.sessions.start()
        self._closing.push_async_callback(self.usage.aclose)
        try:
            await self.usage.start()
        except OSError as error:
            cure = "set redis.folder, or give this user the right to write there"
            raise PartFailed(f"usage cannot be written to disk: {error.strerror}; {cure}") from None

    async def aclose(self) -> None:
        """Stop every part, then the server if it is ours. Idempotent."""
        await self._closing.aclose()
        server, self._server = self._server, None
        if server is not None:
            await server.aclose()

    def stats(self) -> Stats:
        """For metrics: is it there, what was dropped, what waits."""
        dropped = {f"dropped_{what}": float(count) for what, count in self.link.dropped.items()}
        usage = {f"usage_{what}": float(count) for what, count in self.usage.stats().items()}
        fleet = {f"fleet_{what}": float(count) for what, count in self.fleet.stats().items()}
        restarts = float(self._server.restarts) if self._server else 0.0
        return {
            "up": float(self.link.up),
            "losses": float(self.link.losses),
            "server_restarts": restarts,
            **dropped,
            **usage,
            **fleet,
        }


async def open_store(settings: RedisSettings, node: str, folder: Path) -> Store:
    """A store on the configured Redis, on a local one, or in memory. Raises `PartFailed`."""
    found = await _found(settings, folder)
    store = Store(settings, found, node, folder)
    try:
        await store.start()
    except BaseException:
        await store.aclose()
        raise
    return store


async def _found(settings: RedisSettings, folder: Path) -> _Found:
    if settings.url:
        log.info("store", mode="external", redis=shown(settings.url))
        return _Found(_connect(settings, settings.url), "external", None)
    binary = None if settings.local == "process" else installed()
    if binary is not None:
        server = LocalServer(binary, folder / "redis", settings.memory_mb)
        try:
            await server.start()
            log.info("store", mode="server", redis=server.url, folder=str(folder / "redis"))
            return _Found(_connect(settings, server.url), "server", server)
        except ServerUnfit as error:
            if settings.local == "server":
                cure = "set redis.url or redis.folder, or redis.local: process"
                raise PartFailed(f"the local redis-server cannot be used: {error}; {cure}") from None
            log.warning("the local redis-server cannot be used", why=str(error))
    elif settings.local == "server":
        cure = "install it (apt-get install redis-server), set redis.url, or redis.local: process"
        raise PartFailed(f"redis-server is not installed; {cure}")
    log.warning(
        "store", mode="process",
        meaning="kept in this process's memory: jobs and sessions end with it, other nodes see none of them",
        cure="install redis-server, or set redis.url",
    )  # fmt: skip
    return _Found(_in_process(), "process", None)


def _connect(settings: RedisSettings, url: str) -> RedisClient:
    return connect(url, seconds=settings.deadline_seconds, connections=settings.connections)


def _in_process() -> RedisClient:
    # Here, not above: it takes a third of a second to import, and most nodes never need it.
    from fakeredis import FakeServer
    from fakeredis.aioredis import FakeRedis

    return FakeRedis(server=FakeServer())
