"""The connection to the app for the length of one session: dialled, and dialled again when it is lost.

    send ──> outbox ──┐                    ┌── tell, when the app does not take it
    receive ──> took ─┴─ socket ── app     │
                           └─ lost ── pause ── dial ── opened(again) ── what waited

What is to be told while the app is away waits in the outbox, bounded; what is only of the moment (a partial
prompt, who speaks) does not. One task does all of it, so nothing is said on two sockets at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from gateway.agents.conversation_relay.settings import RelayLimits
from gateway.agents.text_socket import DialFailed, SocketLost, TextSocket
from media.clock import now

MOST_WAITING = 256
"""Messages in the outbox; the oldest goes first when there are more."""
_STEADY = 5.0
"""Seconds after which a connection was good for something although the app said nothing."""
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_SHORT_PAUSE = 0.5
"""The longest one before the first connection."""
_WINDOW, _BURST = 0.1, 200
"""No more than so many messages are taken in so many seconds."""
_GOODBYE = 1.0
"""Seconds to say what is left at the end of the call, and to close."""


Connect: TypeAlias = Callable[[], Awaitable[TextSocket]]
"""Dials the app, within a time of its own; raises `DialFailed`."""


class LinkEvents(Protocol):
    """Whom the link tells; returns at once."""

    def opened(self, *, again: bool) -> list[str]:
        """A connection stands; returns what to say on it first."""

    def took(self, frame: str | bytes) -> bool:
        """The app says something; returns whether it was of any use."""

    def away(self, detail: str) -> None:
        """The app cannot be reached, or its socket ended; it will be dialled again."""

    def gone(self, detail: str) -> None:
        """The app is given up."""


class Link:
    """Keeps one app connected."""

    def __init__(self, connect: Connect, limits: RelayLimits, events: LinkEvents) -> None:
        self._connect = connect
        self._limits = limits
        self._events = events
        self._outbox: deque[str] = deque()
        self._filled = asyncio.Event()
        self._socket: TextSocket | None = None
        self._closing = False
        self._bad = 0
        self._useful = False
        """The app said something of use on this connection."""
        self._pause = 0.0
        """Before the next try; none after a connection that was good for something."""
        self._since: float | None = None
        """When the app was last good for something."""
        self._detail = ""
        """Why the last connection ended, or was not made."""
        self.connections = 0
        """Made so far."""
        self.dropped = 0
        """Messages that found no room while the app was away."""

    @property
    def up(self) -> bool:
        """Whether the app is connected now."""
        return self._socket is not None

    def send(self, frame: str, *, keep: bool = True) -> None:
        """Tell the app; what is not kept is forgotten when it is away."""
        if self._socket is None and not keep:
            return
        if len(self._outbox) >= MOST_WAITING:
            self._outbox.popleft()
            self.dropped += 1
        self._outbox.append(frame)
        self._filled.set()

    def waits(self, frame: str) -> bool:
        """Whether it is still to be sent."""
        return frame in self._outbox

    async def run(self) -> None:
        """Until the app is given up. Cancel it, or `aclose`, to end it before."""
        while not self._closing:
            socket = await self._dialled()
            if socket is None:
                return
            began, self._useful = now(), False
            try:
                self._detail = await self._serve(socket)
            finally:
                self._socket = None
                await socket.close()
            if self._closing:
                return
            if self.connections > self._limits.reconnects:
                self._events.gone(f"{self._detail}, after {self.connections} connections")
                return
            if self._useful or now() - began >= _STEADY:
                self._pause, self._since = 0.0, now()
            self._events.away(self._detail)

    def finish(self) -> None:
        """Say what is left and close; it is not dialled again. Returns at once."""
        self._closing = True
        self._filled.set()

    async def aclose(self, task: asyncio.Task[None] | None) -> None:
        """The same, until it is done and `run`, which `task` is, has ended. Does not wait long."""
        self.finish()
        if task is not None:
            await asyncio.wait({task}, timeout=_GOODBYE if self.up else 0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _dialled(self) -> TextSocket | None:
        """A connection; None once the app was away for too long, which was told."""
        self._since = self._since or now()
        # An app that never was there is waited for no longer than a caller bears silence.
        limits, known = self._limits, self.connections > 0
        patience = limits.reconnect_seconds if known else limits.first_seconds
        while True:
            if now() - self._since + self._pause > patience and self._pause:
                self._events.gone(self._detail)
                return None
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE if known else _SHORT_PAUSE) or _FIRST_PAUSE
            try:
                async with asyncio.timeout_at(None if known else self._since + patience):
                    socket = await self._connect()
            except TimeoutError:
                self._detail = f"it could not be reached within {patience:g} s"
            except DialFailed as failed:
                self._detail = failed.detail
                if not failed.retryable and not self.connections:
                    self._events.gone(failed.detail)
                    return None
                self._events.away(failed.detail)
            else:
                self.connections += 1
                return socket

    async def _serve(self, socket: TextSocket) -> str:
        """Talk until the connection ends; returns why it did."""
        self._socket, self._bad = socket, 0
        first = self._events.opened(again=self.connections > 1)
        tasks = {
            asyncio.create_task(self._write(socket, first), name="relay-write"),
            asyncio.create_task(self._read(socket), name="relay-read"),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, socket: TextSocket, first: list[str]) -> str:
        for frame in first:
            if detail := await self._sent(socket, frame):
                return detail
        while True:
            while self._outbox:
                if detail := await self._sent(socket, self._outbox[0]):
                    return detail
                self._outbox.popleft()
            if self._closing:
                return "closed by us"
            self._filled.clear()
            await self._filled.wait()

    async def _sent(self, socket: TextSocket, frame: str) -> str:
        """Send one; returns why it could not be."""
        try:
            async with asyncio.timeout(self._limits.send_seconds):
                await socket.send(frame)
        except TimeoutError:
            return f"it took no message for {self._limits.send_seconds:g} s"
        except SocketLost as lost:
            return str(lost)
        return ""

    async def _read(self, socket: TextSocket) -> str:
        window, count = now(), 0
        while True:
            try:
                frame = await socket.receive()
            except SocketLost as lost:
                return str(lost)
            count += 1
            # An app that talks without end waits; calls beside this one do not.
            await asyncio.sleep(max(0.0, window + _WINDOW - now()) if count >= _BURST else 0)
            if count >= _BURST or now() - window >= _WINDOW:
                window, count = now(), 0
            useful = self._events.took(frame)
            self._useful = self._useful or useful
            self._bad = 0 if useful else self._bad + 1
            if self._bad >= self._limits.bad_messages:
                return f"{self._bad} messages in a row could not be used"
