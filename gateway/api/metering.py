"""Counts and times of the API's requests, for whoever measures it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnect

from gateway.api.core.speech_parts import SpeechParts
from gateway.api.live_socket import Outcome
from media.clock import now

_LIVE = frozenset({"listen_live", "speak_live"})


@dataclass(slots=True)
class Meter:
    """What a request says of its own end."""

    outcome: Outcome = Outcome.CLOSED


def used(connection: HTTPConnection, *features: str) -> None:
    """What the request makes use of, by the names of `license.usage.Feature`; told at its end."""
    known: set[str] = getattr(connection.state, "used", set())
    connection.state.used = known | set(features)


@asynccontextmanager
async def metered(
    parts: SpeechParts, api: str, kind: str, connection: HTTPConnection
) -> AsyncIterator[Meter]:
    """Counts the request while it is inside, and tells its begin and end."""
    meter, began = Meter(), now()
    told = "gone"
    parts.watch.began(api, kind)
    parts.active[kind] += 1
    stream = parts.streams.began(api, kind) if kind in _LIVE else ""
    try:
        yield meter
        told = "ok" if meter.outcome is Outcome.CLOSED else "gone"
    except WebSocketDisconnect:
        raise
    except Exception as error:
        told = type(error).__name__
        raise
    finally:
        parts.active[kind] -= 1
        if kind in _LIVE:
            parts.streams.ended(stream)
        features = tuple(sorted(getattr(connection.state, "used", ())))
        parts.watch.ended(api, kind, told, now() - began, features)
