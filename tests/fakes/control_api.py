"""The call-control API over a scripted office, asked without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from gateway.api.calls.parts import CallControl, Subscribers
from gateway.api.calls.routes import add_routes
from gateway.api.core.door import Door
from gateway.api.parts import RecordFiles
from gateway.audio.files import AudioFiles
from gateway.control.event_feed import EventFeed
from gateway.control.event_settings import EventSettings
from gateway.control.order_desk import OrderDesk
from gateway.control.settings import ControlSettings
from gateway.keys.keyring import Keyring
from gateway.keys.limits import MemoryLimits
from gateway.record_archive import RecordArchive
from tests.fakes.callee import Callee
from tests.fakes.office import Office

HOST = "127.0.0.1:7100"


class ControlApi:
    """An office, its API, and a client. Made inside a running loop."""

    def __init__(
        self, *callees: Callee, folder: Path = Path("none"), keyring: Keyring | None = None, **office: Any
    ) -> None:
        self.office = Office(*callees, **office)
        desk = self.office.desk
        settings = ControlSettings(sounds=folder / "sounds", orders=3)
        self.parts = CallControl(
            door=Door(keyring, MemoryLimits(asyncio.get_running_loop().time), _wall, places=10),
            new_id=lambda: "request-1",
            originator=self.office.originator,
            orders=OrderDesk(desk.registry.get, EventFeed(desk.events), settings.orders, lambda: "order-1"),
            registry=desk.registry,
            plan=lambda: desk.plan,
            agents=lambda: ("desk",),
            live=desk.live.views,
            record=RecordFiles(folder).record,
            archive=RecordArchive(folder, _wall),
            events=desk.events,
            settings=settings,
            event_settings=EventSettings(unread_seconds=5.0),
            subscribers=Subscribers(2),
            files=AudioFiles(),
            begin_drain=self.begin_drain,
            allowed_hosts=("127.0.0.1", "localhost"),
        )
        self.app = FastAPI()
        add_routes(self.app, self.parts)

    def begin_drain(self) -> None:
        """As a node would, without its deadline."""
        if not self.office.desk.registry.draining:
            work = self.office.desk.registry.drain(100.0)
            self.drained = asyncio.get_running_loop().create_task(work)

    async def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """One request."""
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            return await client.request(method, path, json=body, headers=headers)

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return await self.ask(
            "POST", path, body, {name.replace("_", "-"): text for name, text in headers.items()}
        )

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.ask(
            "GET", path, None, {name.replace("_", "-"): text for name, text in headers.items()}
        )

    def subscribe(self, query: str = "", headers: Sequence[tuple[str, str]] = ()) -> Subscription:
        """A WebSocket on the events."""
        return Subscription(self.app, query, headers)


class Subscription:
    """One socket, driven by hand: what was sent is in `got`; it reads only while `reads` is set."""

    def __init__(self, app: FastAPI, query: str, headers: Sequence[tuple[str, str]]) -> None:
        self.got: list[dict[str, Any]] = []
        self.status = 0
        """Of a handshake that was refused."""
        self.closed: int | None = None
        self.reads = asyncio.Event()
        self.reads.set()
        self._leave: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._leave.put_nowait({"type": "websocket.connect"})
        raw = [(b"host", HOST.encode()), *((name.encode(), value.encode()) for name, value in headers)]
        scope = {
            "type": "websocket", "path": "/v1/calls/events", "raw_path": b"/v1/calls/events",
            "query_string": query.encode(), "headers": raw, "subprotocols": [], "scheme": "ws",
            "server": ("127.0.0.1", 7100), "client": ("127.0.0.1", 1), "root_path": "", "state": {},
            "extensions": {"websocket.http.response": {}},
        }  # fmt: skip
        self.task = asyncio.get_running_loop().create_task(app(scope, self._leave.get, self._send))

    async def _send(self, message: Any) -> None:
        match message["type"]:
            case "websocket.send":
                await self.reads.wait()
                self.got.append(json.loads(message["text"]))
            case "websocket.http.response.start":
                self.status = message["status"]
            case "websocket.close":
                self.closed = message["code"]

    async def leave(self) -> None:
        """Close it from the client's side."""
        self._leave.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await self.task


def _wall() -> datetime:
    return datetime(2026, 1, 2, tzinfo=UTC)
