"""One WebSocket to a hosted service: opened within a deadline, its failures as engine errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)

from engines.base import EngineBusy, EngineError, EngineFailed, EngineRefused, EngineTimeout
from engines.hosted.settings import HostedSettings, on_this_machine
from engines.hosted.standing import Standing, concerns_all, error_of, retry_after

_QUIET = logging.getLogger("engines.hosted.wire")
"""In place of the library's own logger: that one writes down every header, our key among them."""
_QUIET.setLevel(logging.INFO)

MESSAGE_BYTES = 1_048_576
"""The largest message taken."""
_CLOSE_SECONDS = 1.0
_PING_SECONDS = 5.0
"""A connection that does not answer a ping for so long is given up: half-open TCP shows in no other way."""
_REFUSING = (1003, 1007, 1008, 1009)
"""Close codes by which a service says that what we sent is wrong (RFC 6455 section 7.4.1)."""


async def opened(
    name: str, url: str, headers: Mapping[str, str], settings: HostedSettings, standing: Standing
) -> ClientConnection:
    """A connection. Raises `EngineError`, and tells `standing` how it went."""
    try:
        async with asyncio.timeout(settings.connect_seconds):
            connection = await connect(
                url,
                additional_headers=dict(headers),
                open_timeout=None,
                close_timeout=_CLOSE_SECONDS,
                ping_interval=_PING_SECONDS,
                ping_timeout=_PING_SECONDS,
                max_size=MESSAGE_BYTES,
                max_queue=64,
                logger=_QUIET,
                compression=None,  # sound does not shrink
                proxy=None if on_this_machine(url) else True,
            )
    except InvalidStatus as refused:
        answer = refused.response
        error = error_of(name, answer.status_code, answer.headers, answer.body or b"", settings.api_key)
        if concerns_all(answer.status_code):
            standing.bad(error, retry_after(answer.headers))
        raise error from None
    except TimeoutError:
        error = EngineTimeout(f"{name}: no connection within {settings.connect_seconds:g} s")
        standing.bad(error)
        raise error from None
    except (InvalidHandshake, InvalidURI, OSError, EOFError, WebSocketException) as broken:
        error = EngineFailed(f"{name}: no connection: {type(broken).__name__}")
        standing.bad(error)
        raise error from None
    standing.good()
    return connection


def error_of_close(name: str, closed: ConnectionClosed) -> EngineError:
    """Why the service ended the connection, as an error."""
    if closed.rcvd is None:
        return EngineFailed(f"{name}: the connection broke")
    code, reason = closed.rcvd.code, " ".join(closed.rcvd.reason.split())[:100]
    told = f"{name} closed the connection with {code} {reason}".rstrip()
    if "NET-0001" in reason:
        return EngineTimeout(told)
    if code in _REFUSING:
        return EngineRefused(told)
    return EngineBusy(told) if code == 1013 else EngineFailed(told)


async def shut(connection: ClientConnection) -> None:
    """Close without waiting for a far end that is gone."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await connection.close()
    except (TimeoutError, OSError, WebSocketException):
        connection.transport.abort()
