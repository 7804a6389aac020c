"""ConversationRelay and Media Streams apps that misbehave, each in the way that its path says."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from callers.g711 import ulaw_encode
from tests.live.sip.phone import tone

CUT = "I have found a table for you. It is by the "


@asynccontextmanager
async def faulty_apps() -> AsyncIterator[str]:
    """The apps' address, up to the path."""
    async with serve(_app, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}"


@asynccontextmanager
async def mute_server() -> AsyncIterator[str]:
    """Takes connections, and never says a word on them."""
    server = await asyncio.start_server(_mute, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def _mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.read(4096):
            pass
    finally:
        writer.close()


async def _app(socket: ServerConnection) -> None:
    assert socket.request is not None
    try:
        await _FAULTS[socket.request.path](socket)
    except ConnectionClosed:
        pass


async def _until(socket: ServerConnection, name: str, value: str) -> dict[str, Any]:
    async for frame in socket:
        message: dict[str, Any] = json.loads(frame)
        if message.get(name) == value:
            return message
    raise ConnectionClosed(None, None)


async def _say(socket: ServerConnection, text: str, *, last: bool = False) -> None:
    await socket.send(json.dumps({"type": "text", "token": text, "last": last}))


# ------------------------------------------------------------------------------------- ConversationRelay


async def relay_slow(socket: ServerConnection) -> None:
    """Never answers."""
    await _until(socket, "type", "prompt")
    await socket.wait_closed()


async def relay_cut(socket: ServerConnection) -> None:
    """Is gone in the middle of its answer."""
    await _until(socket, "type", "prompt")
    await _say(socket, CUT)
    await asyncio.sleep(0.3)
    socket.transport.abort()


async def relay_stalled(socket: ServerConnection) -> None:
    """Stays, but says no more."""
    await _until(socket, "type", "prompt")
    await _say(socket, CUT)
    await socket.wait_closed()


async def relay_garbage(socket: ServerConnection) -> None:
    """Answers with what is no message."""
    await _until(socket, "type", "prompt")
    for number in range(12):
        await socket.send(("no json", "{}", b"\x00\xff", '{"type": "text", "token": 5}')[number % 4])
    await socket.wait_closed()


async def relay_endless(socket: ServerConnection) -> None:
    """Does not come to an end."""
    await _until(socket, "type", "prompt")
    while True:
        await _say(socket, "and then there was one more of them ")
        await asyncio.sleep(0.005)


async def relay_dies(socket: ServerConnection) -> None:
    """Dies whenever it is asked something."""
    await _until(socket, "type", "prompt")
    socket.transport.abort()


# ------------------------------------------------------------------------------------------ Media Streams


async def _sound(socket: ServerConnection, sid: str, seconds: float) -> None:
    pcm = tone(440.0, seconds)
    for at in range(0, len(pcm), 1600):
        codes = bytes(ulaw_encode(np.ascontiguousarray(pcm[at : at + 1600])))
        media = {"payload": base64.b64encode(codes).decode()}
        await socket.send(json.dumps({"event": "media", "streamSid": sid, "media": media}))


async def stream_garbage(socket: ServerConnection) -> None:
    """Sends nothing but what is no message."""
    await _until(socket, "event", "start")
    for _ in range(40):
        await socket.send("no json")
    await socket.wait_closed()


async def stream_endless(socket: ServerConnection) -> None:
    """Sends a minute of sound at once."""
    started = await _until(socket, "event", "start")
    await _sound(socket, started["streamSid"], 60.0)
    await socket.wait_closed()


async def stream_dies(socket: ServerConnection) -> None:
    """Dies after a second of sound."""
    started = await _until(socket, "event", "start")
    await _sound(socket, started["streamSid"], 1.0)
    await asyncio.sleep(1.5)
    socket.transport.abort()


_FAULTS: dict[str, Callable[[ServerConnection], Awaitable[None]]] = {
    "/" + app.__name__.replace("_", "-"): app
    for app in (
        relay_slow, relay_cut, relay_stalled, relay_garbage, relay_endless, relay_dies,
        stream_garbage, stream_endless, stream_dies,
    )
}  # fmt: skip
