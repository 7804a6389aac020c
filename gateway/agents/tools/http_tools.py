"""Asks the operator's services on a model's behalf. Whatever goes wrong is told to the model in words."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
import structlog

from gateway.agents.tools.settings import HttpTool

log = structlog.get_logger(__name__)

_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_CONNECTIONS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=30.0)


class ToolFailed(Exception):
    """A tool gave nothing that could be used; the text says why, for the model and for the log."""


class HttpTools:
    """The operator's services, one set of connections for all calls."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """`transport`: in place of the network."""
        self._client = httpx.AsyncClient(limits=_CONNECTIONS, transport=transport, follow_redirects=False)

    async def ask(self, tool: HttpTool, arguments: Mapping[str, Any], call_id: str) -> str:
        """The answer's text, cut to what the model may see. Raises `ToolFailed`."""
        try:
            async with asyncio.timeout(tool.seconds):
                return await self._ask(tool, arguments, call_id)
        except TimeoutError:
            raise ToolFailed(f"no answer within {tool.seconds:g} seconds") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ToolFailed(f"it cannot be reached ({type(error).__name__})") from error

    async def _ask(self, tool: HttpTool, arguments: Mapping[str, Any], call_id: str) -> str:
        placed = set(_PLACE.findall(tool.url))
        rest = {name: value for name, value in arguments.items() if name not in placed}
        url = _PLACE.sub(lambda match: quote(str(arguments.get(match[1], "")), safe=""), tool.url)
        headers = {"Accept": "application/json, text/plain", "X-Offhook-Call-Id": call_id}
        if token := tool.bearer.reveal():
            headers["Authorization"] = f"Bearer {token}"
        safe = tool.method == "GET"
        request = self._client.build_request(
            tool.method,
            url,
            headers=headers,
            params={name: _plain(value) for name, value in rest.items()} if safe and rest else None,
            json=None if safe else rest,
            timeout=tool.seconds,
        )
        answer = await self._client.send(request, stream=True)
        try:
            body = await _body(answer, tool.most_bytes)
        finally:
            await answer.aclose()
        if not answer.is_success:
            raise ToolFailed(f"it answered {answer.status_code}: {body[:500]}".rstrip(": "))
        return body

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()


async def _body(answer: httpx.Response, most: int) -> str:
    """As much of the body as may be shown, as text."""
    octets = b""
    async for piece in answer.aiter_bytes():
        octets += piece
        if len(octets) > most:
            return octets[:most].decode("utf-8", "replace") + " [cut off]"
    return octets.decode("utf-8", "replace")


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
