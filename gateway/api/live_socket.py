"""A WebSocket that is listened to: sound and controls in, what was heard out, for every dialect.

One task reads, one writes; whichever breaks ends both. A client that does not read stops being read itself,
first by our own queues, then by TCP, and is cut off when that lasts.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Protocol, TypeAlias

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from gateway.api.core.audio_in import AudioIn
from gateway.api.core.listening import ListenEvent, Listening
from gateway.errors import ClientSilent, ClientSlow, RequestUnfit
from media.clock import now

Message: TypeAlias = Mapping[str, Any]

LONGEST_TEXT = 65_536
"""Characters of a control message; sound is binary."""
SERVICE_RESTART = 1012
"""Close code (IANA's WebSocket registry) of a socket that a drain ends: its client may connect again."""
_SLICE = 50
"""Frames heard in one go: a second of sound."""


class Control(Enum):
    """What a text message asks for."""

    KEEP = auto()
    """Nothing: the client is still there."""
    FINALIZE = auto()
    """Everything said so far, now."""
    CLOSE = auto()
    """No more sound comes."""


class LiveDialect(Protocol):
    """One API's words."""

    def read(self, message: Mapping[str, Any]) -> tuple[Control, Iterable[Message]]:
        """What a control asks for, and what is answered at once. Raises `RequestUnfit`."""

    def tell(self, event: ListenEvent) -> Iterable[Message]:
        """What is sent for something heard."""


@dataclass(frozen=True, slots=True)
class LiveTerms:
    """What a contract says of silence and of the end."""

    idle_seconds: float
    """A client that sends nothing for so long is cut off."""
    keeping_needs_sound: bool = False
    """Controls count as signs of life only once sound has come."""
    empty_closes: bool = False
    """An empty binary message ends the stream."""
    unread_seconds: float = 10.0
    """A client that takes nothing for so long is cut off."""


class Outcome(Enum):
    """How a stream ended that did not break."""

    CLOSED = auto()
    """The client asked for the end and was told everything."""
    GONE = auto()
    """The client left."""


class Sender:
    """The writing side of a socket: one message at a time, none later than the terms allow."""

    def __init__(self, socket: WebSocket, unread_seconds: float) -> None:
        self._socket = socket
        self._unread = unread_seconds
        self._turn = asyncio.Lock()

    async def json(self, message: Message) -> None:
        """Raises `ClientSlow` or `WebSocketDisconnect`."""
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        async with self._deadline():
            await self._socket.send_text(text)

    async def octets(self, data: bytes) -> None:
        """As `json`."""
        async with self._deadline():
            await self._socket.send_bytes(data)

    @asynccontextmanager
    async def _deadline(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._unread), self._turn:
                yield
        except TimeoutError:
            raise ClientSlow(f"nothing was read for {self._unread:g} s") from None


@dataclass(slots=True)
class LiveSocket:
    """Serves one stream: `run` once, on a socket that is open already."""

    socket: WebSocket
    sender: Sender
    listening: Listening
    audio: AudioIn
    dialect: LiveDialect
    terms: LiveTerms
    octets: Any = field(default_factory=hashlib.sha256)
    """Hash of all the sound as it came."""
    _sounded: bool = False

    async def run(self) -> Outcome:
        """To the end of the stream.

        Raises `EngineError`, `AudioUnfit`, `RequestUnfit`, `ClientSilent`, `ClientSlow`.
        """
        loop = asyncio.get_running_loop()
        reading, writing = loop.create_task(self._read()), loop.create_task(self._write())
        try:
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            if writing.done() and not reading.done():
                writing.result()
            outcome = await reading
            if outcome is Outcome.CLOSED:
                await writing
            return outcome
        except WebSocketDisconnect:
            return Outcome.GONE
        finally:
            reading.cancel()
            writing.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
            self.audio.close()

    async def _read(self) -> Outcome:
        deadline = now() + self.terms.idle_seconds
        while True:
            message = await self._received(deadline)
            if message["type"] == "websocket.disconnect":
                return Outcome.GONE
            data, text = message.get("bytes"), message.get("text")
            if data is not None:
                if not data and self.terms.empty_closes:
                    return await self._finish()
                await self._hear(data)
            elif text is not None and await self._obey(text):
                return await self._finish()
            if self._sounded or not self.terms.keeping_needs_sound:
                deadline = now() + self.terms.idle_seconds

    async def _received(self, deadline: float) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout_at(deadline):
                message: Mapping[str, Any] = await self.socket.receive()
                return message
        except TimeoutError:
            raise ClientSilent(f"nothing was received for {self.terms.idle_seconds:g} s") from None

    async def _hear(self, data: bytes) -> None:
        self._sounded = True
        self.octets.update(data)
        frames = await self.audio.push(data, now())
        for place in range(0, len(frames), _SLICE):
            await self.listening.push(frames[place : place + _SLICE])

    async def _obey(self, text: str) -> bool:
        """Whether the client wants the end."""
        control, answers = self.dialect.read(read_control(text))
        for answer in answers:
            await self.sender.json(answer)
        if control is Control.FINALIZE:
            self.listening.finalize()
            await self.listening.room()
        return control is Control.CLOSE

    async def _finish(self) -> Outcome:
        await self.listening.push(await self.audio.flush(now()))
        await self.listening.finish()
        return Outcome.CLOSED

    async def _write(self) -> None:
        async for event in self.listening.events():
            for message in self.dialect.tell(event):
                await self.sender.json(message)


def read_control(text: str) -> Mapping[str, Any]:
    """A control message. Raises `RequestUnfit` for what is no JSON object, however long or deep."""
    if len(text) > LONGEST_TEXT:
        raise RequestUnfit(
            f"a text message of more than {LONGEST_TEXT} characters; sound goes in binary ones"
        )
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise RequestUnfit("a text message that is not JSON; sound goes in binary ones") from None
    if not isinstance(message, dict):
        raise RequestUnfit("a text message that is not a JSON object")
    return message


async def close(socket: WebSocket, code: int, reason: str = "") -> None:
    """Close what is still open. A reason may have 123 octets (RFC 6455 section 5.5)."""
    if socket.application_state is WebSocketState.CONNECTED:
        short = reason.encode()[:123].decode(errors="ignore")
        try:
            await socket.close(code, short)
        except (WebSocketDisconnect, RuntimeError):  # it is gone already
            return
