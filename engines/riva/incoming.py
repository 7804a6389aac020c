"""A client's messages, one after the other; its silence has an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from engines.riva.garbled import TOLD
from engines.riva.refusal import Refused
from engines.riva.wire import DecodeError, Message, Status

_END = object()


class Incoming:
    """Used within `with`. One timer watches over the whole stream: fifty messages a second set none each."""

    def __init__(self, requests: AsyncIterator[Message], seconds: float) -> None:
        """`seconds`: of silence, after which `next` refuses to wait any longer."""
        self._requests = aiter(requests)
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Task[object] | None = None
        self._since = 0.0
        self._expired = False

    def __enter__(self) -> Incoming:
        self._watch(self._seconds)
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def next(self) -> Message | None:
        """The next message; None at the client's end. Raises `Refused` for silence and for no message."""
        self._since = self._loop.time()
        self._waiter = asyncio.current_task()
        try:
            request = await anext(self._requests, _END)
        except DecodeError:
            raise Refused(TOLD) from None
        except asyncio.CancelledError:
            if self._expired and self._waiter is not None and self._waiter.uncancel() == 0:
                told = f"nothing was sent for {self._seconds:g} s"
                raise Refused(told, Status.DEADLINE_EXCEEDED) from None
            raise
        finally:
            self._waiter = None
        return None if request is _END else request

    def _watch(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._check)

    def _check(self) -> None:
        left = self._since + self._seconds - self._loop.time()
        if self._waiter is None:
            self._watch(self._seconds)
        elif left > 0.0:
            self._watch(left)
        else:
            self._expired = True
            self._waiter.cancel()
