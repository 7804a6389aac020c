"""A chat-completions endpoint that follows a script, over real HTTP on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Pause:
    """Wait before the next line of the answer."""

    seconds: float


@dataclass(frozen=True)
class Cut:
    """Close the connection in the middle of the answer."""


@dataclass(frozen=True)
class Answer:
    """One scripted answer; text becomes a chunk, bytes go out as they are."""

    lines: tuple[str | bytes | Pause | Cut, ...] = ()
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    ends: bool = True
    """Whether the finish reason and the end marker follow."""


@dataclass
class ChatEndpoint:
    """Gives one answer per request, the last one for ever; keeps what it was asked."""

    answers: list[Answer]
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    connections: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first request was read."""
    vanished: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client closed its connection before its answer ended."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._request(head.decode(), reader)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if not await self._answer(answer, writer, reader):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _request(self, head: str, reader: asyncio.StreamReader) -> None:
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head.split("\r\n"))}
        self.keys.append(headers.get("authorization", ""))
        self.requests.append(json.loads(await reader.readexactly(int(headers["content-length"]))))
        self.asked.set()

    async def _answer(
        self, answer: Answer, writer: asyncio.StreamWriter, reader: asyncio.StreamReader
    ) -> bool:
        headers = "".join(f"{name}: {value}\r\n" for name, value in answer.headers)
        kind = "text/event-stream" if answer.status == 200 else "application/json"
        writer.write(
            f"HTTP/1.1 {answer.status} x\r\ncontent-type: {kind}\r\n{headers}"
            "transfer-encoding: chunked\r\n\r\n".encode()
        )
        for line in answer.lines:
            if isinstance(line, Cut):
                return False
            if isinstance(line, Pause):
                if not await self._still_there(line.seconds, reader):
                    return False
                continue
            await self._send(line if isinstance(line, bytes) else event(line), writer)
        if answer.status == 200 and answer.ends:
            await self._send(event("", finish="stop") + b"data: [DONE]\n\n", writer)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def _still_there(self, seconds: float, reader: asyncio.StreamReader) -> bool:
        try:
            async with asyncio.timeout(seconds):
                gone = await reader.read(1) == b""
        except TimeoutError:
            return True
        if gone:
            self.vanished.set()
        return not gone

    async def _send(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await writer.drain()


def event(text: str, finish: str | None = None) -> bytes:
    """One chunk as a server-sent event."""
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


@asynccontextmanager
async def chat_endpoint(*answers: Answer) -> AsyncIterator[tuple[ChatEndpoint, str]]:
    """The endpoint and its base URL, while the block runs."""
    endpoint = ChatEndpoint(list(answers))
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    try:
        yield endpoint, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
