"""The vendor's licence server, asked over HTTPS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import httpx

from license.usage import UsageEvent

_MOST_OCTETS = 65_536


class Unreachable(Exception):
    """No answer that counts: no connection, too slow, an error of theirs, or not signed by them."""


class Refused(Exception):
    """The vendor does not know this licence key."""


class Vendor(Protocol):
    """What the proxy needs of the vendor."""

    async def check(self, nonce: str) -> str:
        """The signed answer. Raises `Unreachable`, `Refused`."""

    async def report(self, batch_id: str, events: Sequence[UsageEvent]) -> None:
        """Deliver usage; a batch id that was seen before changes nothing. Raises `Unreachable`, `Refused`."""

    async def aclose(self) -> None: ...


class HttpVendor:
    """`GET /validate` and `POST /usage` with `Authorization: Bearer <licence key>`."""

    def __init__(self, address: str, licence_key: str, timeout: float) -> None:
        self._client = httpx.AsyncClient(
            base_url=address,
            headers={"Authorization": f"Bearer {licence_key}"},
            timeout=timeout,
            follow_redirects=False,
        )

    async def check(self, nonce: str) -> str:
        """See `Vendor.check`."""
        answer = await self._ask("GET", "/validate", params={"nonce": nonce})
        try:
            text = answer.json()["answer"]
        except (ValueError, KeyError, TypeError) as error:
            raise Unreachable("the licence server's answer cannot be read") from error
        if not isinstance(text, str):
            raise Unreachable("the licence server's answer cannot be read")
        return text

    async def report(self, batch_id: str, events: Sequence[UsageEvent]) -> None:
        """See `Vendor.report`."""
        lines = ",".join(event.line() for event in events)
        await self._ask(
            "POST",
            "/usage",
            content=f'{{"batch_id":"{batch_id}","events":[{lines}]}}',
            headers={"Content-Type": "application/json", "Idempotency-Key": batch_id},
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _ask(self, method: str, path: str, **details: object) -> httpx.Response:
        try:
            answer = await self._client.request(method, path, **details)  # type: ignore[arg-type]
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise Unreachable(f"the licence server gave no answer ({type(error).__name__})") from error
        if answer.status_code in (401, 403, 404):
            raise Refused("the licence server does not know this licence key")
        if answer.status_code != 200 or len(answer.content) > _MOST_OCTETS:
            raise Unreachable(f"the licence server answered {answer.status_code}")
        return answer
