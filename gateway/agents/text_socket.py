"""WebSockets that we open to other people's apps: where to, within which time, and what waits to be sent.

The protocols above see `TextSocket` and `Dial`, so that whole calls run against scripted sockets.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from gateway.agents.base import AgentError
from gateway.api.settings import is_loopback

_QUIET = logging.getLogger("gateway.agents.wire")
"""In place of the library's own logger: that one writes down every header, our signature among them."""
_QUIET.setLevel(logging.INFO)
_CLOSE_SECONDS = 1.0
_PING_SECONDS = 10.0
"""A connection that does not answer a ping for so long is lost: half-open TCP shows in no other way."""
_FINAL = frozenset({400, 401, 403, 404, 405, 410, 426})
"""Answers to a handshake that another try would not change."""
_ABNORMAL = 1006


class SocketLost(Exception):
    """The connection is over. `code`: as the far end gave it (RFC 6455 section 7.4), 1006 when it broke."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    @property
    def orderly(self) -> bool:
        """The far end meant to end it: it was done, going away, or gave no code."""
        return self.code in (1000, 1001, 1005)

    def __str__(self) -> str:
        return "the connection broke" if self.code == _ABNORMAL else f"closed with {self.code} {self.reason}"


class DialFailed(AgentError):
    """No connection was made. `status`: what the handshake was answered with, 0 when it was not answered."""

    def __init__(self, detail: str, *, status: int = 0, timed_out: bool = False) -> None:
        super().__init__(detail, retryable=status not in _FINAL)
        self.status = status
        self.timed_out = timed_out


class TextSocket(Protocol):
    """An open connection that carries text."""

    async def send(self, text: str) -> None:
        """Returns when the message is on its way. Raises `SocketLost`."""

    async def receive(self) -> str | bytes:
        """The next message. Raises `SocketLost`."""

    async def close(self) -> None:
        """End it, without waiting for a far end that is gone. Idempotent."""


class Dial(Protocol):
    """Opens a connection."""

    async def __call__(self, url: str, headers: Mapping[str, str], seconds: float) -> TextSocket:
        """Raises `DialFailed`."""


def check_url(url: str, plain_hosts: Sequence[str] = ()) -> None:
    """Raise `ValueError` for all but wss:// addresses, and ws:// ones to this machine or `plain_hosts`."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("not a web address") from None
    if parts.scheme not in ("ws", "wss") or not host or parts.username is not None or parts.fragment:
        raise ValueError("must be wss://host/path, without a user name or a fragment")
    if any(ord(char) <= 32 or ord(char) == 127 for char in url):
        raise ValueError("must hold no spaces")
    if parts.scheme == "ws" and not is_loopback(host) and host not in plain_hosts:
        raise ValueError("must begin with wss://, since everybody on the way could listen to ws://")


class WebSocketDial:
    """`Dial` over the network."""

    def __init__(self, most_bytes: int) -> None:
        """`most_bytes`: the largest message taken; a larger one ends the connection with 1009."""
        self._most_bytes = most_bytes

    async def __call__(self, url: str, headers: Mapping[str, str], seconds: float) -> TextSocket:
        """See `Dial`."""
        host = urlsplit(url).hostname or ""
        try:
            async with asyncio.timeout(seconds):
                connection = await connect(
                    url,
                    additional_headers=dict(headers),
                    open_timeout=None,
                    close_timeout=_CLOSE_SECONDS,
                    ping_interval=_PING_SECONDS,
                    ping_timeout=_PING_SECONDS,
                    max_size=self._most_bytes,
                    max_queue=64,
                    logger=_QUIET,
                    compression=None,  # sound does not shrink
                    user_agent_header="Offhook",
                    proxy=None if is_loopback(host) else True,
                )
        except InvalidStatus as refused:
            status = refused.response.status_code
            raise DialFailed(f"{host} answered the handshake with {status}", status=status) from None
        except TimeoutError:
            raise DialFailed(f"no connection to {host} within {seconds:g} s", timed_out=True) from None
        except (InvalidHandshake, InvalidURI, OSError, EOFError) as broken:
            raise DialFailed(f"no connection to {host}: {type(broken).__name__}") from None
        return _WebSocket(connection)


class _WebSocket:
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, text: str) -> None:
        try:
            await self._connection.send(text)
        except ConnectionClosed as closed:
            raise _lost(closed) from None

    async def receive(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            raise _lost(closed) from None

    async def close(self) -> None:
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._connection.close()
        except (TimeoutError, OSError):
            self._connection.transport.abort()


def _lost(closed: ConnectionClosed) -> SocketLost:
    if closed.rcvd is None:
        return SocketLost(closed.sent.code if closed.sent is not None else _ABNORMAL)
    return SocketLost(closed.rcvd.code, " ".join(closed.rcvd.reason.split())[:100])


class Outbox:
    """What waits to be sent: in order, bounded. Sound that finds it full drives out the oldest sound."""

    def __init__(self, most_sound: int, most_other: int = 256) -> None:
        """How many messages of each kind may wait."""
        self._most_sound = most_sound
        self._most_other = most_other
        self._waiting: deque[tuple[str, bool]] = deque()
        self._sounds = 0
        self._grown = asyncio.Event()
        self._stuck = False
        self.dropped = 0
        """Messages with sound that were never sent."""

    def sound(self, text: str) -> None:
        """A message that may be lost."""
        if self._sounds >= self._most_sound:
            oldest = next(place for place, (_, sound) in enumerate(self._waiting) if sound)
            del self._waiting[oldest]
            self._sounds -= 1
            self.dropped += 1
        self._sounds += 1
        self._append(text, sound=True)

    def put(self, text: str) -> None:
        """A message that must arrive: when far too many wait, `run` raises."""
        self._stuck = self._stuck or len(self._waiting) - self._sounds >= self._most_other
        if not self._stuck:
            self._append(text, sound=False)
        self._grown.set()

    def drop_all(self) -> None:
        """Nothing that waits is wanted any more."""
        self._waiting.clear()
        self._sounds = 0

    async def run(self, socket: TextSocket, patience: float) -> None:
        """Send what comes, until cancelled. Raises `SocketLost`, `AgentError` for a far end that is stuck."""
        while True:
            while self._waiting:
                if self._stuck:
                    raise AgentError("the backend does not read what it is sent")
                text, sound = self._waiting.popleft()
                self._sounds -= sound
                try:
                    async with asyncio.timeout(patience):
                        await socket.send(text)
                except TimeoutError:
                    raise AgentError(f"the backend did not read for {patience:g} s") from None
            self._grown.clear()
            await self._grown.wait()

    async def flush(self, socket: TextSocket, seconds: float) -> None:
        """Send what waits, for no longer than this, and never raise: the end is near anyway."""
        try:
            async with asyncio.timeout(seconds):
                while self._waiting:
                    await socket.send(self._waiting.popleft()[0])
        except (TimeoutError, SocketLost):
            pass
        self.drop_all()

    def _append(self, text: str, *, sound: bool) -> None:
        self._waiting.append((text, sound))
        self._grown.set()
