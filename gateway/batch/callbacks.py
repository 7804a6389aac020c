"""Results to an address of the client's: signed, tried again, known by one id.

Follows Standard Webhooks (`gateway/webhook_signature.py`).
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import structlog

from gateway.batch.job import Callback
from gateway.batch.settings import CallbackSettings
from gateway.errors import FetchFailed, FetchRefused
from gateway.webhook_signature import GONE, Sender, pause, secret_octets, signed

log = structlog.get_logger(__name__)

_TOLD_BY_GET = ("request_id", "job_id", "status", "webhook_extra")
"""What a callback without a body says in its address."""


def _with(url: str, body: Mapping[str, Any]) -> str:
    """The address with what a callback without a body says."""
    parts = urlsplit(url)
    told = urlencode({name: str(body[name]) for name in _TOLD_BY_GET if name in body})
    return urlunsplit(parts._replace(query=f"{parts.query}&{told}" if parts.query else told))


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
        written = settings.secret.reveal()
        self._secret = secret_octets(written, "batch.callback.secret") if written else b""
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
            if status == GONE:
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
            return GONE
        except (FetchFailed, TimeoutError) as error:
            log.info("a callback was not taken", job=job_id, why=str(error) or "no answer in time")
            return None

    def _signed(self, job_id: str, body: bytes) -> dict[str, str]:
        return signed(self._secret, job_id, int(self._wall()), body)

    def _wait(self, number: int) -> float:
        settings = self._settings
        return pause(number, settings.first_wait, settings.longest_wait, self._dice())
