"""Who is let in, and how a request ends: every way out of a handler becomes a status."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog

from engines.base import EngineError
from engines.riva.refusal import Refused, status_of
from engines.riva.watch import WireWatch
from engines.riva.wire import Message, Status, grpc

log = structlog.get_logger(__name__)


async def send(context: Any, message: Message, seconds: float) -> None:
    """Hand the message to the connection. Raises `Refused` for a client that takes nothing for so long."""
    try:
        async with asyncio.timeout(seconds):
            await context.write(message)
    except TimeoutError:
        raise Refused(f"nothing was read for {seconds:g} s", Status.DEADLINE_EXCEEDED) from None


class Door:
    """One engine's places. Closed until the engine is ready, and again while the worker drains."""

    def __init__(self, places: int, watch: WireWatch) -> None:
        self.watch = watch
        self._places = places
        self._taken = 0
        self._closed = "the worker is still starting"
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def taken(self) -> int:
        """Requests being served."""
        return self._taken

    def open(self) -> None:
        """Let requests in."""
        self._closed = ""

    def close(self, why: str) -> None:
        """Let nobody in any more; those inside go on."""
        self._closed = why

    async def empty(self) -> None:
        """Wait until nobody is inside."""
        await self._empty.wait()

    @asynccontextmanager
    async def serving(self, context: Any, method: str) -> AsyncIterator[None]:
        """A place for the length of the block; whatever leaves the block ends the request with a status."""
        code, told, entered = Status.OK, "", False
        try:
            self._enter(method)
            entered = True
            yield
        except Refused as refused:
            code, told = refused.code, str(refused)
        except EngineError as error:
            code, told = status_of(error), str(error)
        except (asyncio.CancelledError, GeneratorExit):
            code = Status.CANCELLED
            raise
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            log.exception("a request broke", method=method)
            code, told = Status.INTERNAL, f"the worker broke: {type(error).__name__}"
        finally:
            if entered:
                self._leave(method, code.name)
        if code is not Status.OK:
            await context.abort(code, told)

    def _enter(self, method: str) -> None:
        if self._closed:
            self.watch.refused(method, "closed")
            raise Refused(self._closed, Status.UNAVAILABLE)
        if self._taken >= self._places:
            self.watch.refused(method, "full")
            raise Refused(f"all {self._places} places are taken", Status.RESOURCE_EXHAUSTED)
        self._taken += 1
        self._empty.clear()
        self.watch.opened(method)

    def _leave(self, method: str, status: str) -> None:
        self.watch.closed(method, status)
        self._taken -= 1
        if not self._taken:
            self._empty.set()
