"""Requests to a hosted service over kept connections: deadlines over the whole, failures as engine errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from engines.base import EngineFailed, EngineTimeout
from engines.hosted.settings import HostedSettings, on_this_machine
from engines.hosted.standing import Standing, concerns_all, error_of, retry_after

_ERROR_BYTES = 65_536
"""Of an error's body that is read."""
_IDLE_SECONDS = 30.0
"""A connection unused for so long is closed."""


class Http:
    """One service. Belongs to the loop that first uses it."""

    def __init__(self, name: str, settings: HostedSettings, standing: Standing, connections: int) -> None:
        self._name = name
        self._settings = settings
        self._standing = standing
        self._base = settings.url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
        self._client = httpx.AsyncClient(
            # The deadlines over the whole are the callers'; a connection has one of its own.
            timeout=httpx.Timeout(None, connect=settings.connect_seconds),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections,
                                keepalive_expiry=_IDLE_SECONDS),
            trust_env=not on_this_machine(settings.url),
        )  # fmt: skip

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        await self._client.aclose()

    @asynccontextmanager
    async def request(
        self, method: str, path: str, seconds: float, **content: Any
    ) -> AsyncIterator[httpx.Response]:
        """A good answer, its body unread. `seconds`: until its head is here. Raises `EngineError`."""
        answer = await self._head(method, path, seconds, content)
        try:
            if not answer.is_success:
                await self._refused(answer, seconds)
            self._standing.good()
            yield answer
        except httpx.HTTPError as error:
            raise EngineFailed(f"{self._name}: the answer broke: {type(error).__name__}") from None
        finally:
            await answer.aclose()

    async def body(
        self, method: str, path: str, seconds: float, most: int, **content: Any
    ) -> tuple[Mapping[str, str], bytes]:
        """Headers and body of a good answer, of at most so many octets, within so many seconds."""
        try:
            async with asyncio.timeout(seconds), self.request(method, path, seconds, **content) as answer:
                return answer.headers, await read(self._name, answer, most)
        except TimeoutError:
            raise EngineTimeout(f"{self._name}: no answer within {seconds:g} s") from None

    async def _head(self, method: str, path: str, seconds: float, content: dict[str, Any]) -> httpx.Response:
        request = self._client.build_request(method, self._base + path, headers=self._headers, **content)
        try:
            async with asyncio.timeout(seconds):
                try:
                    return await self._client.send(request, stream=True)
                except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                    # So looks a kept connection that the far end has closed meanwhile.
                    again = self._client.build_request(
                        method, self._base + path, headers=self._headers, **content
                    )
                    return await self._client.send(again, stream=True)
        except TimeoutError:
            raise EngineTimeout(f"{self._name}: no answer within {seconds:g} s") from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            failed = EngineFailed(f"{self._name}: no connection: {type(error).__name__}")
            self._standing.bad(failed)
            raise failed from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EngineFailed(f"{self._name}: no answer: {type(error).__name__}") from None

    async def _refused(self, answer: httpx.Response, seconds: float) -> None:
        body = b""
        try:
            async with asyncio.timeout(seconds):
                body = await read(self._name, answer, _ERROR_BYTES)
        except (TimeoutError, EngineFailed, httpx.HTTPError):
            pass  # the status says enough
        error = error_of(self._name, answer.status_code, answer.headers, body, self._settings.api_key)
        if concerns_all(answer.status_code):
            self._standing.bad(error, retry_after(answer.headers))
        raise error


async def read(name: str, answer: httpx.Response, most: int) -> bytes:
    """The body. Raises `EngineFailed` when it is longer than that."""
    body = b""
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > most:
            raise EngineFailed(f"{name}: the answer is longer than {most} octets")
    return body
