"""Who is let in, and how a request ends: every way out of a handler becomes a status."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog

from engines.base import EngineError
from engines.riva.limits import WireLimits
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

    def __init__(self, limits: WireLimits, watch: WireWatch) -> None:
        self.watch = watch
        self._places = limits.streams
        self._places_of_one = limits.streams_of_one
        self._clients: Counter[str] = Counter()
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
        client = context.peer()
        try:
            self._enter(method, client)
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
        except grpc.aio.BaseError as error:  # the connection or the server is gone: nobody to tell
            log.info("a request was cut", method=method, why=str(error))
            return
        except Exception as error:
            log.exception("a request broke", method=method)
            code, told = Status.INTERNAL, f"the worker broke: {type(error).__name__}"
        finally:
            if entered:
                self._leave(method, client, code.name)
        if code is not Status.OK:
            await context.abort(code, told)

    def _enter(self, method: str, client: str) -> None:
        if self._closed:
            self.watch.refused(method, "closed")
            raise Refused(self._closed, Status.UNAVAILABLE)
        if self._taken >= self._places:
            self.watch.refused(method, "full")
            raise Refused(f"all {self._places} places are taken", Status.RESOURCE_EXHAUSTED)
        if self._clients[client] >= self._places_of_one:
            self.watch.refused(method, "share")
            told = f"this connection has its {self._places_of_one} places; the others are for other clients"
            raise Refused(told, Status.RESOURCE_EXHAUSTED)
        self._taken += 1
        self._clients[client] += 1
        self._empty.clear()
        self.watch.opened(method)

    def _leave(self, method: str, client: str, status: str) -> None:
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]
        self.watch.closed(method, status)
        self._taken -= 1
        if not self._taken:
            self._empty.set()
