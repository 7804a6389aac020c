"""What the tests of the store are built from; `fakeredis` stands for Redis where no server is named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fakeredis import FakeServer
from fakeredis.aioredis import FakeRedis

from gateway.store.jobs import Jobs
from gateway.store.keys import Keys
from gateway.store.link import Link

KEYS = Keys("test")


@asynccontextmanager
async def linked(server: FakeServer, deadline: float = 2.0) -> AsyncIterator[Link]:
    """A link that watches."""
    link = Link(FakeRedis(server=server), deadline)
    await link.start()
    try:
        yield link
    finally:
        await link.aclose()


def jobs_of(link: Link, most: int = 100) -> Jobs:
    return Jobs(link, KEYS, most=most, keep=3600)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


Tell = Callable[[], None]
