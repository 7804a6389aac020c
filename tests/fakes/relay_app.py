"""An app at the other end of a relay's wire, with a script, in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from gateway.agents.text_socket import DialFailed, SocketLost

Message = dict[str, Any]


class ScriptedWire:
    """One connection. The app hears and says; `lost` says why it is over."""

    def __init__(self, app: ScriptedApp) -> None:
        self.app = app
        self.heard: list[Message] = []
        self.said: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self.lost: SocketLost | None = None
        self.closed = False
        self.deaf = False

    async def send(self, frame: str) -> None:
        if self.lost:
            raise self.lost
        if self.deaf:
            await asyncio.sleep(1e6)
        message = json.loads(frame)
        self.heard.append(message)
        self.app.told.append((asyncio.get_running_loop().time(), message))
        self.app.answer(self, message)

    async def receive(self) -> str | bytes:
        frame = await self.said.get()
        if frame is None:
            raise self.lost or SocketLost(1006)
        return frame

    async def close(self) -> None:
        self.closed = True
        self.lost = self.lost or SocketLost(1000)
        self.said.put_nowait(None)

    def say(self, *frames: Message | str | bytes) -> None:
        for frame in frames:
            self.said.put_nowait(json.dumps(frame) if isinstance(frame, dict) else frame)

    def die(self, code: int = 1006) -> None:
        self.lost = SocketLost(code)
        self.said.put_nowait(None)


class ScriptedApp:
    """`answers` hears each message. `refuses`: so many handshakes fail first, with `status`."""

    def __init__(
        self,
        answers: Callable[[ScriptedWire, Message], None] = lambda wire, message: None,
        refuses: int = 0,
        status: int = 0,
    ) -> None:
        self.answers, self.refuses, self.status = answers, refuses, status
        self.wires: list[ScriptedWire] = []
        self.told: list[tuple[float, Message]] = []
        """When, and what, over all connections."""
        self.tries: list[float] = []

    async def dial(self, url: str, headers: Mapping[str, str], seconds: float) -> ScriptedWire:
        self.headers = dict(headers)
        return await self.connect()

    async def connect(self) -> ScriptedWire:
        self.tries.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.02)
        if self.refuses:
            self.refuses -= 1
            raise DialFailed("refused", status=self.status)
        self.wires.append(ScriptedWire(self))
        return self.wires[-1]

    def answer(self, wire: ScriptedWire, message: Message) -> None:
        self.answers(wire, message)

    def of(self, kind: str) -> list[Message]:
        """Messages of one type, in order."""
        return [message for _, message in self.told if message["type"] == kind]


def text(token: str, *, last: bool = True, **fields: object) -> Message:
    return {"type": "text", "token": token, "last": last, **fields}
