"""Results to an address of the client's: signed, tried again, known by one id.

Follows Standard Webhooks (standardwebhooks.com): the headers `webhook-id`, `webhook-timestamp` and
`webhook-signature: v1,<base64 of HMAC-SHA256 over "id.timestamp.body">`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import random
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit, urlunsplit

import structlog

from gateway.audio.outbound import Answer
from gateway.batch.job import Callback
from gateway.batch.settings import CallbackSettings
from gateway.errors import FetchFailed, FetchRefused

log = structlog.get_logger(__name__)

PREFIX = "whsec_"
_SECRET_OCTETS = (24, 64)
_GONE = 410
"""The receiver wants no more of it: not tried again."""
_GROWTH = 4.0
_TOLD_BY_GET = ("request_id", "job_id", "status", "webhook_extra")
"""What a callback without a body says in its address."""


def _with(url: str, body: Mapping[str, Any]) -> str:
    """The address with what a callback without a body says."""
    parts = urlsplit(url)
    told = urlencode({name: str(body[name]) for name in _TOLD_BY_GET if name in body})
    return urlunsplit(parts._replace(query=f"{parts.query}&{told}" if parts.query else told))


class BadSecret(ValueError):
    """The callback secret is not of the form that signers and receivers agree on."""


def new_secret() -> str:
    """A secret for the configuration and for the receiver."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def secret_octets(written: str) -> bytes:
    """The key in a written secret. Raises `BadSecret`."""
    try:
        octets = base64.b64decode(written.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        octets = b""
    low, high = _SECRET_OCTETS
    if not low <= len(octets) <= high:
        raise BadSecret(f"batch.callback.secret: give {PREFIX} and base64 of {low} to {high} random octets")
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


class Sender(Protocol):
    """Sends one request; `Outbound` is one."""

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> AbstractAsyncContextManager[Answer]: ...


class Callbacks:
    """Delivers results. Belongs to one event loop."""

    def __init__(
        self,
        settings: CallbackSettings,
        sender: Sender,
        wall: Callable[[], float],
        dice: Callable[[], float] = random.random,
    ) -> None:
        """`wall`: seconds since 1970. `dice`: 0 to 1, spreads the waits. Raises `BadSecret`."""
        self._settings = settings
        self._sender = sender
        self._wall = wall
        self._dice = dice
        self._secret = secret_octets(settings.secret.reveal()) if settings.secret else b""
        self._places = asyncio.Semaphore(settings.at_once)
        self._counts: Counter[str] = Counter()

    @property
    def ready(self) -> bool:
        """There is a secret to sign with."""
        return bool(self._secret)

    def stats(self) -> dict[str, float]:
        """Tries and results."""
        return dict(self._counts)

    async def deliver(self, job_id: str, callback: Callback, body: Mapping[str, Any]) -> bool:
        """Send until it is answered with 2xx; False when all tries failed, or it is not wanted."""
        octets = json.dumps(body).encode()
        if callback.method == "GET":
            callback, octets = replace(callback, url=_with(callback.url, body)), b""
        for number in range(self._settings.tries):
            if number:
                await asyncio.sleep(self._wait(number))
            status = await self._try(job_id, callback, octets)
            if status is not None and 200 <= status < 300:
                self._counts["delivered"] += 1
                return True
            if status == _GONE:
                break
        self._counts["failed"] += 1
        log.warning("a callback was given up", job=job_id, tries=number + 1)
        return False

    async def _try(self, job_id: str, callback: Callback, body: bytes) -> int | None:
        """The status of one try; None when there was no answer."""
        self._counts["tries"] += 1
        headers = self._signed(job_id, body)
        if body:
            headers["Content-Type"] = "application/json"
        try:
            async with self._places, asyncio.timeout(self._settings.seconds):
                async with self._sender.request(callback.method, callback.url, headers, body) as answer:
                    return answer.status
        except FetchRefused as error:
            log.warning("a callback's address is refused", job=job_id, why=str(error))
            return _GONE
        except (FetchFailed, TimeoutError) as error:
            log.info("a callback was not taken", job=job_id, why=str(error) or "no answer in time")
            return None

    def _signed(self, job_id: str, body: bytes) -> dict[str, str]:
        return signed(self._secret, job_id, int(self._wall()), body)

    def _wait(self, number: int) -> float:
        """Seconds before try `number`; spread, so that a receiver that comes back is not overrun."""
        wait = min(self._settings.first_wait * _GROWTH ** (number - 1), self._settings.longest_wait)
        return wait * (0.75 + 0.5 * self._dice())
