"""A very small HTTP server for health and metrics: one answer per connection, everything bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import structlog

log = structlog.get_logger(__name__)

_LONGEST_REQUEST = 8192
_SECONDS = 5.0
"""For a request to come, and for its answer to go."""
_MOST = 64
"""Connections at once; the next is closed unheard."""


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    body: bytes
    kind: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK


class HttpServer:
    """Serves pages by path, from `start` to `aclose`."""

    def __init__(self, pages: Mapping[str, Callable[[], Page]]) -> None:
        self._pages = pages
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0
        """The port it listens on, from `start` on."""

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=_LONGEST_REQUEST)
        self.port = self._server.sockets[0].getsockname()[1]
        log.info("HTTP listens", host=host, port=self.port)

    async def aclose(self) -> None:
        """Stop. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for writer in self._open:
            writer.close()
        await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= _MOST:
            writer.close()
            return
        self._open.add(writer)
        try:
            async with asyncio.timeout(_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _encoded(Page(b"not HTTP\n", status=HTTPStatus.BAD_REQUEST), with_body=True)
        method, target, _ = words
        if method not in ("GET", "HEAD"):
            return _encoded(Page(b"GET only\n", status=HTTPStatus.METHOD_NOT_ALLOWED), with_body=True)
        make = self._pages.get(target.partition("?")[0])
        if make is None:
            known = ", ".join(self._pages)
            page = Page(f"there are: {known}\n".encode(), status=HTTPStatus.NOT_FOUND)
        else:
            page = make()
        return _encoded(page, with_body=method == "GET")


def _encoded(page: Page, *, with_body: bool) -> bytes:
    lines = (
        f"HTTP/1.1 {page.status.value} {page.status.phrase}",
        f"Content-Type: {page.kind}",
        f"Content-Length: {len(page.body)}",
        "Cache-Control: no-store",
        "Connection: close",
        "\r\n",
    )
    return "\r\n".join(lines).encode("latin-1") + (page.body if with_body else b"")
