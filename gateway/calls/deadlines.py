"""Deadlines on progress: every item of a stream has to come in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import nullcontext
from typing import Any, TypeVar

from gateway.calls.lulls import Lull, watched

T = TypeVar("T")


async def paced(
    source: AsyncIterator[T],
    first: float,
    gap: float,
    unhurried: tuple[type[Any], ...] = (),
    lull: Lull | None = None,
) -> AsyncGenerator[T, None]:
    """The items of `source`: the first within `first` seconds, each further one within `gap`.

    What follows an item of the `unhurried` types may take its time; any other wait is watched for a `lull`.

    Raises `TimeoutError` for a late one. The time that the reader takes does not count. Close it
    (`aclosing`), and the source is closed with it.
    """
    limit: float | None = first
    try:
        while True:
            try:
                async with asyncio.timeout(limit) as deadline:
                    with watched(lull, deadline) if lull and limit is not None else nullcontext():
                        item = await anext(source)
            except StopAsyncIteration:
                return
            yield item
            limit = None if isinstance(item, unhurried) else gap
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()
