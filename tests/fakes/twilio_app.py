"""An app that answers with TwiML, by a script: a `Sender` without a network, in virtual time."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpcore

from gateway.audio.outbound import Answer


@dataclass(frozen=True, slots=True)
class Said:
    """One answer."""

    body: str | bytes = ""
    status: int = 200
    content_type: str = "text/xml; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    after: float = 0.0
    """Seconds until it begins."""
    error: Exception | None = None
    """Raised instead."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that came."""

    at: float
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def form(self) -> dict[str, str]:
        """The fields, of the body or of the query."""
        written = self.body.decode() if self.method == "POST" else urlsplit(self.url).query
        return dict(parse_qsl(written, keep_blank_values=True))


def twiml(inner: str, after: float = 0.0) -> Said:
    """A document with these verbs."""
    return Said(f'<?xml version="1.0" encoding="UTF-8"?>\n<Response>{inner}</Response>', after=after)


@dataclass
class ScriptedApp:
    """Answers per path; the last one of a path stays. A path without any is 404."""

    says: dict[str, Said | list[Said]]
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._turn: dict[str, int] = defaultdict(int)

    def forms(self, path: str) -> list[dict[str, str]]:
        """What came to a path, in order."""
        return [one.form for one in self.asked if one.path == path]

    @asynccontextmanager
    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> AsyncIterator[Answer]:
        asked = Asked(asyncio.get_running_loop().time(), method, url, dict(headers), body)
        self.asked.append(asked)
        said = self.says.get(asked.path, Said("Not Found", 404, "text/plain"))
        if isinstance(said, list):
            turn = self._turn[asked.path]
            self._turn[asked.path] += 1
            said = said[min(turn, len(said) - 1)]
        await asyncio.sleep(said.after)
        if said.error is not None:
            raise said.error
        yield Answer(_response(said))


def _response(said: Said) -> Any:
    octets = said.body.encode() if isinstance(said.body, str) else said.body
    fields = [("Content-Type", said.content_type)] if said.content_type else []
    return httpcore.Response(said.status, headers=[*fields, *said.headers], content=_Pieces(octets))


class _Pieces:
    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._octets), 10_000):
            yield self._octets[at : at + 10_000]
