"""An app at the far end of a WebSocket, in memory: what it does is a coroutine, on the call's own clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from gateway.agents.text_socket import DialFailed, SocketLost, TextSocket


class AppSocket:
    """The app's end. What it received is kept in `got`, with the time."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url, self.headers = url, dict(headers)
        self.got: list[tuple[float, Any]] = []
        self._in: asyncio.Queue[str] = asyncio.Queue()
        self._out: asyncio.Queue[str | bytes | SocketLost] = asyncio.Queue()
        self.closed_by_us = asyncio.Event()
        self.reads = asyncio.Event()
        """Cleared: the app does not read, and we cannot send."""
        self.reads.set()

    async def receive(self) -> Any:
        """The next message, as JSON. Raises `SocketLost` once we closed."""
        if self._in.empty() and self.closed_by_us.is_set():
            raise SocketLost(1000)
        getting = asyncio.ensure_future(self._in.get())
        closing = asyncio.ensure_future(self.closed_by_us.wait())
        try:
            await asyncio.wait({getting, closing}, return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                raise SocketLost(1000)
            return json.loads(getting.result())
        finally:
            getting.cancel()
            closing.cancel()

    async def until(self, wanted: Callable[[Any], bool]) -> Any:
        """The next message of this kind; others are passed over."""
        while not wanted(message := await self.receive()):
            pass
        return message

    def send(self, message: Any) -> None:
        self._out.put_nowait(message if isinstance(message, str | bytes) else json.dumps(message))

    def close(self, code: int = 1000, reason: str = "") -> None:
        self._out.put_nowait(SocketLost(code, reason))

    @property
    def near(self) -> TextSocket:
        """Our end."""
        return _Near(self)


class _Near:
    def __init__(self, app: AppSocket) -> None:
        self._app = app

    async def send(self, text: str) -> None:
        app = self._app
        await app.reads.wait()
        app.got.append((asyncio.get_running_loop().time(), json.loads(text)))
        app._in.put_nowait(text)

    async def receive(self) -> str | bytes:
        message = await self._app._out.get()
        if isinstance(message, SocketLost):
            self._app._out.put_nowait(message)
            raise message
        return message

    async def close(self) -> None:
        self._app.closed_by_us.set()


App = Callable[[AppSocket], Awaitable[None]]


class AppDial:
    """`Dial` to an app in memory; the first dials may fail."""

    def __init__(self, *apps: App, failures: Sequence[DialFailed] = (), takes: float = 0.0) -> None:
        """`apps`: what each connection meets, the last one again and again; `takes`: seconds of a dial."""
        self.apps, self.failures, self.takes = list(apps), list(failures), takes
        self.sockets: list[AppSocket] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def __call__(self, url: str, headers: Mapping[str, str], seconds: float) -> TextSocket:
        await asyncio.sleep(min(self.takes, seconds))
        if self.takes >= seconds:
            raise DialFailed("no connection in time", timed_out=True)
        if self.failures:
            raise self.failures.pop(0)
        socket = AppSocket(url, headers)
        app = self.apps.pop(0) if len(self.apps) > 1 else self.apps[0]
        self.sockets.append(socket)
        self.tasks.append(asyncio.create_task(_run(app, socket), name="app"))
        return socket.near

    async def aclose(self) -> None:
        """End the apps; one that broke says so. One whose call is over ends by itself."""
        for task in self.tasks:
            if not task.done():
                await asyncio.sleep(0)
                task.cancel()
        done = await asyncio.gather(*self.tasks, return_exceptions=True)
        for result in done:
            if isinstance(result, Exception):
                raise result


async def _run(app: App, socket: AppSocket) -> None:
    try:
        await app(socket)
    except SocketLost:
        pass
