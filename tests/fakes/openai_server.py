"""A double of OpenAI's audio endpoints: their public protocol over real HTTP, no speech in it.

`/v1/audio/transcriptions` "hears" how many 20 ms of loud sound the WAV file holds; `/v1/audio/speech` hums
ten milliseconds a character as raw 24 kHz samples. Faults are switched on by fields.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LOUD = 1000


@dataclass
class OpenAiServer:
    """What it does, and what it saw."""

    key: str = ""
    status: int = 0
    """Answer every request so."""
    headers: dict[str, str] = field(default_factory=dict)
    error: dict[str, Any] = field(default_factory=lambda: {"error": {"message": "scripted", "code": "x"}})
    deaf: bool = False
    """Take the request, answer nothing."""
    garbage: bytes = b""
    """Answer 200 with this body."""
    cut: bool = False
    """Break the connection in the middle of the answer."""
    stall: bool = False
    """Stop in the middle of the answer."""
    hang_up: bool = False
    """Close each connection after its answer without saying so: the next request on it is lost."""
    delay: float = 0.0
    """Seconds before an answer."""
    kind: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    vanished: int = 0
    """Clients that hung up before their answer was done."""
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                headers = {k.lower(): v for k, _, v in (row.partition(": ") for row in head.split("\r\n"))}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                if not await self.answer(head.split(" ")[1], headers, body, writer):
                    return
                if self.hang_up:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.vanished += writer.is_closing()
            writer.close()

    async def answer(
        self, path: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter
    ) -> bool:
        status = self.status
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            status = 401
        fields = read_form(body) if "multipart" in headers.get("content-type", "") else json.loads(body)
        self.requests.append({"path": path, **fields})
        if self.deaf:
            await asyncio.sleep(30)
        await asyncio.sleep(self.delay)
        if status:
            error = json.dumps(self.error | {"echo": headers.get("authorization")}).encode()
            return await self.send(writer, status, "application/json", [error])
        if self.garbage:
            return await self.send(writer, 200, self.kind or "application/octet-stream", [self.garbage])
        if path.endswith("/transcriptions"):
            return await self.send(writer, 200, "application/json", [heard(fields["file"])])
        octets = np.full(len(fields["input"]) * 240, LOUD, "<i2").tobytes()
        half = len(octets) // 2 + 1
        return await self.send(writer, 200, self.kind or "audio/pcm", [octets[:half], octets[half:]])

    async def send(self, writer: asyncio.StreamWriter, status: int, kind: str, parts: list[bytes]) -> bool:
        rows = [f"HTTP/1.1 {status} x", f"content-type: {kind}", "transfer-encoding: chunked"]
        rows += [f"{name}: {value}" for name, value in self.headers.items()]
        writer.write("\r\n".join([*rows, "\r\n"]).encode())
        for number, part in enumerate(parts):
            if number and self.stall:
                await asyncio.sleep(30)
            if self.cut and (number or len(parts) == 1):
                writer.write(b"ffff\r\nshort")
                return False
            writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


def read_form(body: bytes) -> dict[str, Any]:
    """A multipart form as far as the engines here use one."""
    edge = body.split(b"\r\n", 1)[0]
    fields: dict[str, Any] = {}
    for part in body.split(edge)[1:-1]:
        head, _, content = part.strip(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]+)"', head)
        assert name is not None
        fields[name[1].decode()] = content if b"filename=" in head else content.decode()
    return fields


def heard(file: bytes) -> bytes:
    with wave.open(io.BytesIO(file)) as sound:
        pcm = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
        count = int((pcm >= LOUD).sum()) * 50 // sound.getframerate()
    return json.dumps({"text": f" Loud {count}.\n" if count else ""}).encode()


@asynccontextmanager
async def openai(**script: Any) -> AsyncIterator[OpenAiServer]:
    """A double on a free loopback port."""
    server = OpenAiServer(**script)
    clients: set[asyncio.Task[None]] = set()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        clients.add(task)
        try:
            await server.serve(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            clients.discard(task)

    listening = await asyncio.start_server(client, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        for task in list(clients):
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
