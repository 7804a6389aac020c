"""What the tests of the store are built from; `fakeredis` stands for Redis where no server is named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fakeredis import FakeServer
from fakeredis.aioredis import FakeRedis

from gateway.store.jobs import Jobs
from gateway.store.keys import Keys
from gateway.store.link import Link
from gateway.store.usage_stream import UsageStream
from license.usage import Kind, UsageEvent

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


def numbered(number: int) -> UsageEvent:
    """A usage event that can be told from others."""
    return UsageEvent(f"{number:032x}", Kind.CALL, 29_000_000, 12.5)


async def reported(usage: UsageStream) -> list[int]:
    """The numbers of all events that there are, whoever holds them, settled."""
    numbers: list[int] = []
    while (taken := await usage.take(0.0)) is not None:
        numbers += [int(event.event_id, 16) for event in taken.events]
        await usage.settled(taken)
    return numbers
