"""What of an error a client may be told, whichever dialect tells it."""

from __future__ import annotations

from engines.base import EngineError, EngineRefused
from gateway.errors import Fault, GatewayError, verdict


def message_of(error: Exception) -> str:
    """What may be told to a client: nothing of our own faults."""
    if isinstance(error, GatewayError | EngineError) and verdict(error).fault is not Fault.CONFIG:
        return str(error)
    return str(error) if isinstance(error, EngineRefused) else "something broke here; try again later"
