"""The one thread on which pjsua2 runs, and the two ways across its border.

Into it: `run` and `post` put a command into a bounded queue and wake the event poll at once. Out of it:
callbacks copy plain facts and hand them over with `call_soon_threadsafe`. Nothing else crosses, so neither
side needs a lock of its own, and no callback of PJSIP waits for our logic.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeVar

import structlog

from media.legs.base import LegError

T = TypeVar("T")
log = structlog.get_logger(__name__)

_POLL_MS = 50
"""Longest sleep in PJSIP's poll; commands and keys end it at once, timers in time."""
_QUEUE = 8_192
"""Commands that may wait; several for each call that a node carries."""
_DEADLINE_S = 5.0
"""A command that is not done by now means that the SIP thread is stuck; the caller must not be."""


class Machine(Protocol):
    """What the thread drives: pjsua2's endpoint behind three functions, all called on the thread."""

    def open(self) -> None:
        """Create and start the library. An exception ends the thread and comes out of `start`."""

    def poll(self, milliseconds: int) -> None:
        """Handle events, at most this long without any."""

    def close(self) -> None:
        """Destroy the library."""


class WakeUps:
    """Time from handing over a command to its start on the SIP thread, as a histogram without a lock."""

    BOUNDS_MS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)

    def __init__(self) -> None:
        self.counts = [0] * (len(self.BOUNDS_MS) + 1)
        self.worst_ms = 0.0

    def add(self, seconds: float) -> None:
        """Count one wake-up."""
        ms = seconds * 1000
        self.worst_ms = max(self.worst_ms, ms)
        for i, bound in enumerate(self.BOUNDS_MS):
            if ms <= bound:
                self.counts[i] += 1
                return
        self.counts[-1] += 1

    def quantile_ms(self, q: float) -> float:
        """Upper bound of the bucket that holds this quantile, in milliseconds; 0 when nothing was counted."""
        total, seen = sum(self.counts), 0
        for bound, count in zip((*self.BOUNDS_MS, self.worst_ms), self.counts, strict=True):
            seen += count
            if total and seen >= q * total:
                return bound
        return 0.0


class SipThread:
    """Runs a `Machine` and commands beside it. Made and used on the event loop's thread."""

    def __init__(self, machine: Machine, wakeup: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        self.wake_ups = WakeUps()
        self.overflows = 0
        self.failures = 0
        self._machine = machine
        self._wakeup = wakeup
        self._loop = loop
        self._commands: deque[tuple[float, Callable[[], None]]] = deque()
        self._stopping = False
        self._started: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()
        self._thread = threading.Thread(target=self._main, name="offhook-sip", daemon=True)

    async def start(self, deadline_s: float = 20.0) -> None:
        """Start the thread and the machine; raises what `Machine.open` raised."""
        self._thread.start()
        await asyncio.wait_for(asyncio.shield(self._started), deadline_s)

    async def stop(self, deadline_s: float = 20.0) -> None:
        """Close the machine on its thread and wait for its end. Idempotent."""
        if not self._thread.ident:
            return
        self._stopping = True
        self._wakeup()
        await asyncio.wait_for(asyncio.shield(self._ended), deadline_s)
        self._thread.join(timeout=1.0)

    def post(self, command: Callable[[], None]) -> bool:
        """Run a command on the SIP thread, soon and in order; False when the queue was full or it is over."""
        if self._stopping or len(self._commands) >= _QUEUE:
            self.overflows += 1
            return False
        self._commands.append((time.monotonic(), command))
        self._wakeup()
        return True

    async def run(self, command: Callable[[], T]) -> T:
        """Run a command on the SIP thread and return its result. Raises what it raised, or `LegError`."""
        done: asyncio.Future[T] = self._loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)  # type: ignore[arg-type]

        def job() -> None:
            try:
                result = command()
            except Exception as error:
                self.tell(settle, None, error)
            else:
                self.tell(settle, result, None)

        if not self.post(job):
            raise LegError("the SIP thread is overloaded or shutting down", sip_code=503)
        try:
            return await asyncio.wait_for(done, _DEADLINE_S)
        except TimeoutError:
            raise LegError("the SIP thread did not answer in time", sip_code=500) from None

    def tell(self, callback: Callable[..., None], *facts: object) -> None:
        """From the SIP thread: call back on the loop's thread. Facts must be plain values."""
        try:
            self._loop.call_soon_threadsafe(callback, *facts)
        except RuntimeError:
            self.failures += 1

    def _main(self) -> None:
        try:
            self._machine.open()
        except Exception as error:
            self._close()
            self.tell(_fail, self._started, LegError(str(error)))
            self.tell(_settle, self._ended)
            return
        self.tell(_settle, self._started)
        while not self._stopping:
            self._turn()
        self._drain()
        self._close()
        self.tell(_settle, self._ended)

    def _turn(self) -> None:
        self._drain()
        try:
            self._machine.poll(_POLL_MS)
        except Exception as error:
            self.failures += 1
            log.error("sip poll failed", error=str(error))

    def _drain(self) -> None:
        while self._commands:
            queued, command = self._commands.popleft()
            self.wake_ups.add(time.monotonic() - queued)
            try:
                command()
            except Exception as error:
                self.failures += 1
                log.error("sip command failed", error=str(error))

    def _close(self) -> None:
        try:
            self._machine.close()
        except Exception as error:
            self.failures += 1
            log.error("sip shutdown failed", error=str(error))


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
