"""Status callbacks: in order per call, tried again, and never in a call's way.

A call tells what happened and goes on; a task of its line sends one after the other and outlives the call.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Coroutine
from typing import Any

import structlog

from gateway.errors import AppFailed
from gateway.twiml.client import AppClient, Ask, Visit, shown

log = structlog.get_logger(__name__)

_FIRST_WAIT = 1.0
_GROWTH = 4.0


class StatusCallbacks:
    """One per node; belongs to one event loop."""

    def __init__(self, client: AppClient, *, tries: int, waiting: int) -> None:
        self._client = client
        self._tries = tries
        self._room = waiting
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts: Counter[str] = Counter()

    def line(self, visit: Visit) -> StatusLine:
        """What is told through one line arrives in the order in which it was told."""
        return StatusLine(self, visit)

    def stats(self) -> dict[str, float]:
        """Callbacks delivered, given up, dropped."""
        return dict(self._counts)

    async def aclose(self, seconds: float = 5.0) -> None:
        """Send what waits, but no longer than this. Idempotent."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done beside the calls; dropped, and counted, when too much waits."""
        if not self.taken():
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work, name="twiml-later")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room += 1

    def taken(self) -> bool:
        """Whether there is room for one more."""
        if self._room <= 0:
            self._counts["dropped"] += 1
            return False
        self._room -= 1
        return True

    def start(self, line: StatusLine) -> None:
        """Send what waits in a line."""
        task = asyncio.get_running_loop().create_task(line.send(), name="status-callbacks")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def deliver(self, ask: Ask, visit: Visit) -> None:
        """Send one, until it is taken or all tries are used up."""
        try:
            for number in range(self._tries):
                if number:
                    await asyncio.sleep(_FIRST_WAIT * _GROWTH ** (number - 1))
                try:
                    await self._client.ask(ask, visit)
                except AppFailed as error:
                    log.info("a status callback was not taken", why=str(error))
                    continue
                self._counts["delivered"] += 1
                return
            self._counts["failed"] += 1
            log.warning("a status callback was given up", url=shown(ask.url), tries=self._tries)
        finally:
            self._room += 1


class StatusLine:
    """The callbacks of one call, or of one dialled leg."""

    def __init__(self, callbacks: StatusCallbacks, visit: Visit) -> None:
        self._callbacks = callbacks
        self._visit = visit
        self._waiting: deque[Ask] = deque()
        self._sending = False

    def tell(self, ask: Ask) -> None:
        """Send this after what was told before. Returns at once."""
        if not ask.url or not self._callbacks.taken():
            return
        self._waiting.append(ask)
        if not self._sending:
            self._sending = True
            self._callbacks.start(self)

    async def send(self) -> None:
        """The line's task: one after the other."""
        try:
            while self._waiting:
                await self._callbacks.deliver(self._waiting.popleft(), self._visit)
        finally:
            self._sending = False
