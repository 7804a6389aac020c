from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import pytest

from gateway.calls.deadlines import paced
from tests.virtual_time import run_virtual


class Source:
    """Gives 0, 1, 2 after these waits."""

    def __init__(self, *waits: float) -> None:
        self.waits = waits
        self.closed = False

    async def items(self) -> AsyncGenerator[int, None]:
        try:
            for number, wait in enumerate(self.waits):
                await asyncio.sleep(wait)
                yield number
        finally:
            self.closed = True


async def collect(items: AsyncIterator[int], rest: float = 0.0) -> list[int]:
    found = []
    async for item in items:
        found.append(item)
        await asyncio.sleep(rest)
    return found


def test_items_in_time_come_through() -> None:
    assert run_virtual(collect(paced(Source(0.9, 0.4, 0.4).items(), 1.0, 0.5))) == [0, 1, 2]


@pytest.mark.parametrize("waits", [(1.1,), (0.1, 0.6)])
def test_a_late_item_is_a_timeout_and_closes_the_source(waits: tuple[float, ...]) -> None:
    source = Source(*waits)
    with pytest.raises(TimeoutError):
        run_virtual(collect(paced(source.items(), 1.0, 0.5)))
    assert source.closed


def test_a_slow_reader_is_not_late() -> None:
    assert run_virtual(collect(paced(Source(0.1, 0.1).items(), 1.0, 0.5), rest=9.0)) == [0, 1]


def test_closing_it_closes_the_source() -> None:
    source = Source(0.1, 0.1)

    async def first_only() -> None:
        async with aclosing(paced(source.items(), 1.0, 1.0)) as items:
            async for _ in items:
                break

    run_virtual(first_only())
    assert source.closed
