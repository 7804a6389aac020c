"""How a receiver knows that a message is ours, and new: Standard Webhooks (standardwebhooks.com).

The headers are `webhook-id`, `webhook-timestamp` and `webhook-signature: v1,<base64 of HMAC-SHA256 over
"id.timestamp.body">`. One id goes with all tries of a message, so that a receiver can pass over a repeat.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.audio.outbound import Answer

PREFIX = "whsec_"
GONE = 410
"""A receiver that answers this wants no more of it: not tried again."""
_SECRET_OCTETS = (24, 64)
_GROWTH = 4.0


class BadSecret(ValueError):
    """A secret is not of the form that signers and receivers agree on."""


def new_secret() -> str:
    """A secret for the configuration and for the receiver."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def secret_octets(written: str, field: str) -> bytes:
    """The key in a written secret. `field`: where it was written. Raises `BadSecret`."""
    try:
        octets = base64.b64decode(written.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        octets = b""
    low, high = _SECRET_OCTETS
    if not low <= len(octets) <= high:
        raise BadSecret(f"{field}: give {PREFIX} and base64 of {low} to {high} random octets")
    return octets


def signed(secret: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that prove who sent the body, and when."""
    content = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def pause(number: int, first: float, longest: float, dice: float) -> float:
    """Seconds before try `number`, 1 for the second one.

    Each is four times the one before, and `dice`, 0 to 1, spreads them by a quarter: a receiver that comes
    back is not overrun.
    """
    return min(first * _GROWTH ** (number - 1), longest) * (0.75 + 0.5 * dice)


class Sender(Protocol):
    """Sends one request; `Outbound` is one."""

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> AbstractAsyncContextManager[Answer]: ...
