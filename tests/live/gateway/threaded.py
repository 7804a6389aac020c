"""Scripted servers for a node under test: in a thread with a loop of its own, while a block runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def threaded(server: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """What the server's own context gives; it is closed with the block."""
    ready = threading.Event()
    found: list[T] = []
    stopping: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stop = asyncio.Event()
        stopping.append((asyncio.get_running_loop(), stop))
        async with server() as given:
            found.append(given)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(5.0), "the server did not start"
        yield found[0]
    finally:
        loop, stop = stopping[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(5.0)
