"""The one way to Redis: a deadline on every command; a lost server is not waited for twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from redis.exceptions import ResponseError

from engines.redis_client import LOST, RedisClient, cancelled
from gateway.errors import StoreLost

log = structlog.get_logger(__name__)

T = TypeVar("T")

_CHECK_SECONDS = 0.5
"""How often a lost server is looked for, and one that is there is asked whether it is still the same."""


class Link:
    """A client and whether its server is there. Belongs to the loop that starts it."""

    def __init__(self, client: RedisClient, deadline: float) -> None:
        """`deadline`: seconds for one command. The client is closed with the link."""
        self._client = client
        self._deadline = deadline
        self._up = True
        self._run = ""
        self._returns: list[Callable[[], None]] = []
        self._watching: asyncio.Task[None] | None = None
        self.dropped: Counter[str] = Counter()
        """What was not written because Redis was gone, by kind."""
        self.losses = 0
        """How often Redis was lost, also when it was back before anybody asked."""

    @property
    def up(self) -> bool:
        """Whether the last command was answered."""
        return self._up

    @property
    def client(self) -> RedisClient:
        """For those that bring deadlines of their own."""
        return self._client

    def on_return(self, tell: Callable[[], None]) -> None:
        """Have it called when a lost server is back: what it held may be gone."""
        self._returns.append(tell)

    async def start(self) -> None:
        """Ask once; a server that is not there is waited for in the background."""
        await self._ask()
        self._watching = asyncio.get_running_loop().create_task(self._watch(), name="redis-watch")

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        try:
            async with asyncio.timeout(self._deadline):
                await self._client.aclose()
        except LOST:
            pass

    async def call(self, work: Callable[[Any], Awaitable[T]], seconds: float | None = None) -> T:
        """What `work` makes of the client. Raises `StoreLost`, at once while the server is lost."""
        if not self._up:
            raise StoreLost("Redis is lost")
        return await self._try(work, self._deadline if seconds is None else seconds)

    async def _try(self, work: Callable[[Any], Awaitable[T]], seconds: float) -> T:
        try:
            async with asyncio.timeout(seconds):
                answer = await work(self._client)
        except LOST as error:
            why = str(error) or f"no answer within {seconds:g} s"
            self._set(False, why)
            raise StoreLost(f"Redis is lost: {why}") from None
        self._set(True, "")
        return answer

    async def _watch(self) -> None:
        while not cancelled():
            await asyncio.sleep(_CHECK_SECONDS)
            await self._ask()

    async def _ask(self) -> None:
        was_up = self._up
        try:
            run = await self._try(_run_id, self._deadline)
        except StoreLost:
            return
        known, self._run = self._run, run or self._run
        if was_up and run and known and run != known:
            # Killed and back between two commands: it may have forgotten its last second all the same.
            self.losses += 1
            log.warning("redis was restarted; what it may have lost is written again")
            self._tell_return()

    def _set(self, up: bool, why: str) -> None:
        if up == self._up:
            return
        self._up = up
        if not up:
            self.losses += 1
            log.warning("redis is lost; calls go on without it", why=why)
            return
        log.info("redis is back")
        self._tell_return()

    def _tell_return(self) -> None:
        for tell in self._returns:
            tell()


async def _run_id(client: Any) -> str:
    """Names one life of the server; "" where this user may not ask for it, or it is none of Redis' own."""
    try:
        told = await client.info("server")
    except ResponseError:
        await client.ping()
        return ""
    return str(told.get("run_id", "")) if isinstance(told, dict) else ""
