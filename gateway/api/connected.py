"""Work for a client that may hang up before it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

T = TypeVar("T")

NOBODY = 499
"""Status of an answer that nobody waits for any more; never seen on the wire."""


class HungUp(Exception):
    """The client is gone; what it asked for was stopped."""


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The work's result. The body must have been read. Raises `HungUp`, and what the work raises."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise HungUp
    finally:
        task.cancel()
        watch.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
