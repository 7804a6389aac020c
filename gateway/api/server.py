"""Serves the HTTP side inside the loop that also carries the calls."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator

import structlog
import uvicorn
from fastapi import FastAPI

from gateway.api.settings import ApiSettings
from gateway.errors import PortTaken

log = structlog.get_logger(__name__)

_START_SECONDS = 5.0
_STOP_SECONDS = 3.0
_BACKLOG = 128
_LONGEST_MESSAGE = 4 * 1024 * 1024
"""Octets of one WebSocket message; a longer one closes its socket with 1009 (RFC 6455 section 7.4.1)."""


def _is_news(record: logging.LogRecord) -> bool:
    """uvicorn takes a handshake that we answered with an HTTP error for one that we forgot."""
    return "without completing handshake" not in record.getMessage()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to the process, which has calls to drain before it stops."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


class ApiServer:
    """The HTTP side on its port, from `start` to `aclose`."""

    def __init__(self, api: FastAPI, settings: ApiSettings) -> None:
        self._settings = settings
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        self._server = _Server(
            uvicorn.Config(
                api,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=int(_STOP_SECONDS),
                limit_concurrency=settings.connections,
                # Sound does not shrink, and a compressed bomb would.
                ws_per_message_deflate=False,
                ws_max_size=_LONGEST_MESSAGE,
            )
        )
        self._task: asyncio.Task[None] | None = None
        self.port = 0
        """The port it listens on, from `start` on; chosen by the system when the settings say 0."""

    async def start(self) -> None:
        """Listen. Raises `PortTaken` with the cure."""
        listener = _listen(self._settings)
        self.port = listener.getsockname()[1]
        self._task = asyncio.get_running_loop().create_task(self._server.serve([listener]), name="api")
        async with asyncio.timeout(_START_SECONDS):
            await self._server.up.wait()
        log.info("api listens", host=self._settings.host, port=self.port)

    async def aclose(self) -> None:
        """Finish running requests, briefly, and stop. Idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        self._server.should_exit = True
        done, _ = await asyncio.wait([task], timeout=_STOP_SECONDS + 1)
        if not done:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _listen(settings: ApiSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        where = f"{settings.host} port {settings.port}"
        cure = "stop what uses it, or set api.host and api.port"
        raise PortTaken(f"cannot listen on {where}: {error.strerror}; {cure}") from None
    return listener
