"""A double of Deepgram's streaming service: its public wire protocol over real WebSockets, no speech in it.

`/v1/listen` "hears" how many 20 ms of loud sound there were since the last flush; `/v1/speak` hums as many
milliseconds as the text has characters, times ten. Faults are switched on by fields.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

LOUD = 1000
_LOG = logging.getLogger("tests.fakes.deepgram_server")
_LOG.setLevel(logging.ERROR)
INTERIM_SECONDS = 0.2


@dataclass
class DeepgramServer:
    """What it does, and what it saw."""

    key: str = ""
    """The only key that it takes; "" takes anybody."""
    status: int = 0
    """Refuse every handshake so."""
    headers: dict[str, str] = field(default_factory=dict)
    deaf: bool = False
    """Take everything, answer nothing."""
    garbage: str = ""
    """Answer the first sound or text with this."""
    cut_after: float = 0.0
    """Break the connection after so many seconds of sound, or after the first piece of speech."""
    close_code: int = 0
    """... by a close frame of this code instead of a broken connection."""
    mute_finalize: bool = False
    """Do not answer `Finalize` where nothing is left to settle."""
    late_finalize: float = 0.0
    """Seconds before the answer to `Finalize`."""
    connections: int = 0
    live: int = 0
    queries: list[dict[str, list[str]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    """Every text message, in order."""
    url: str = ""

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        given = request.headers.get("Authorization", "")
        status = self.status or (401 if self.key and given != f"Token {self.key}" else 0)
        if not status:
            return None
        body = json.dumps({"err_code": "X", "err_msg": f"refused {given}", "request_id": "r"}).encode()
        return Response(status, HTTPStatus(status).phrase, Headers(self.headers), body)

    async def serve(self, line: ServerConnection) -> None:
        assert line.request is not None
        parts = urlsplit(line.request.path)
        self.connections += 1
        self.live += 1
        self.queries.append(parse_qs(parts.query))
        try:
            if parts.path.endswith("/v1/listen"):
                await Listening(self, line, self.queries[-1]).run()
            else:
                await self.speak(line)
        except ConnectionClosed:
            pass
        finally:
            self.live -= 1

    async def end(self, line: ServerConnection) -> None:
        if self.close_code:
            await line.close(self.close_code, "scripted")
        else:
            line.transport.abort()

    async def speak(self, line: ServerConnection) -> None:
        text, rate = "", int(self.queries[-1]["sample_rate"][0])
        await line.send(json.dumps({"type": "Metadata", "request_id": "r"}))
        async for message in line:
            told = json.loads(message)
            self.texts.append(str(message))
            if told["type"] == "Close":
                return
            if self.garbage:
                await line.send(self.garbage)
            elif told["type"] == "Speak":
                text += told["text"]
            elif told["type"] == "Flush" and not self.deaf:
                octets = np.full(len(text) * rate // 100, LOUD, "<i2").tobytes()
                half = len(octets) // 2 + 1  # an odd number of octets: samples are torn apart
                await line.send(octets[:half])
                if self.cut_after or self.close_code:
                    await self.end(line)
                    return
                await line.send(octets[half:])
                await line.send(json.dumps({"type": "Flushed", "sequence_id": 0}))
                text = ""


class Listening:
    """One connection of `/v1/listen`."""

    def __init__(self, server: DeepgramServer, line: ServerConnection, query: dict[str, list[str]]) -> None:
        self.server, self.line = server, line
        self.rate = int(query["sample_rate"][0])
        self.width = 2 if query["encoding"] == ["linear16"] else 1
        self.heard = self.flushed = self.shown = 0
        self.loud = 0

    async def run(self) -> None:
        async for message in self.line:
            if isinstance(message, bytes):
                await self.sound(message)
            else:
                self.server.texts.append(message)
                if json.loads(message)["type"] == "Finalize":
                    await self.finalize()

    async def sound(self, octets: bytes) -> None:
        server = self.server
        self.heard += len(octets) // self.width
        if self.width == 2:
            self.loud += int((np.frombuffer(octets, "<i2") >= LOUD).sum())
        else:
            self.loud += sum(octet not in (0xFF, 0x7F) for octet in octets)
        if server.cut_after and self.heard >= server.cut_after * self.rate:
            await server.end(self.line)
        elif server.garbage:
            await self.line.send(server.garbage)
        elif not server.deaf and self.heard - self.shown >= INTERIM_SECONDS * self.rate:
            self.shown = self.heard
            await self.tell(False, False)

    async def finalize(self) -> None:
        if self.server.deaf or (self.server.mute_finalize and not self.loud):
            return
        await asyncio.sleep(self.server.late_finalize)
        await self.tell(True, True)
        self.flushed, self.loud = self.heard, 0

    async def tell(self, is_final: bool, from_finalize: bool) -> None:
        start, end = self.flushed / self.rate, self.heard / self.rate
        count = self.loud * 50 // self.rate
        words = [{"word": "loud", "start": start, "end": end, "confidence": 0.5, "punctuated_word": "Loud"}]
        heard = {
            "transcript": f"Loud {count}." if count else "",
            "confidence": 0.5,
            "words": words * bool(count),
        }
        told: dict[str, Any] = {
            "type": "Results", "channel_index": [0, 1], "duration": end - start, "start": start,
            "is_final": is_final, "speech_final": False, "from_finalize": from_finalize,
            "channel": {"alternatives": [heard]}, "metadata": {"request_id": "r"},
        }  # fmt: skip
        await self.line.send(json.dumps(told))


@asynccontextmanager
async def deepgram(**script: Any) -> AsyncIterator[DeepgramServer]:
    """A double on a free loopback port."""
    server = DeepgramServer(**script)
    async with serve(
        server.serve, "127.0.0.1", 0, process_request=server.admit, close_timeout=0.2, logger=_LOG
    ) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        server.url = f"ws://127.0.0.1:{port}"
        yield server
