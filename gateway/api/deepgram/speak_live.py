"""WS `/v1/speak`: Deepgram's live speech."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import structlog
from fastapi import FastAPI, WebSocket
from starlette.websockets import WebSocketDisconnect

from engines.base import EngineRefused, TtsOptions
from gateway.api.core.sound_out import RawEncoding, octets
from gateway.api.core.speech_line import Mark, SpeechLine
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.core.voices import language_of, voice_for
from gateway.api.deepgram.errors import answer
from gateway.api.deepgram.query import Query
from gateway.api.deepgram.shape import Model
from gateway.api.dialect import accept, name_request, refuse, streamed
from gateway.api.live_socket import SERVICE_RESTART, Message, Outcome, Sender, close, read_control
from gateway.api.metering import metered, used
from gateway.api.told import message_of
from gateway.errors import BodyTooLarge, ClientSilent, ClientSlow, Draining, RequestUnfit
from gateway.keys.key import Scope
from gateway.problems import nearest
from media.clock import now

log = structlog.get_logger(__name__)

_KNOWN = (
    "model",
    "encoding",
    "sample_rate",
    "container",
    "speed",
    "bit_rate",
    "tag",
    "mip_opt_out",
    "version",
)
_IGNORED = ("api_key", "token", "access_token")
_IDLE_SECONDS = 3600.0
"""A socket may be kept and used again for so long."""
_FLUSH_SECONDS = 60.0
"""Flushes are limited within any stretch of this length."""
_LONGEST_TEXT = 2000
"""Characters of one Speak message."""


def add(api: FastAPI, parts: SpeechParts) -> None:
    """The socket."""

    @api.websocket("/v1/speak")
    async def speak_live(socket: WebSocket) -> None:
        await _Stream(parts, socket, name_request(socket, parts)).serve()


class _Stream:
    """One socket, from its handshake to its close code."""

    def __init__(self, parts: SpeechParts, socket: WebSocket, request_id: str) -> None:
        self._parts = parts
        self._socket = socket
        self._request_id = request_id
        self._open = False
        self._sequence = 0
        self._samples = 0
        self._flushed: deque[float] = deque()

    async def serve(self) -> None:
        """Never raises: whatever goes wrong becomes an HTTP answer or a close code."""
        try:
            async with streamed(self._socket, self._parts, Scope.SPEAK):
                async with metered(self._parts, "deepgram", "speak_live", self._socket) as meter:
                    meter.outcome = await self._run()
        except WebSocketDisconnect:
            log.debug("the client left", request_id=self._request_id)
        except Exception as error:
            await self._failed(error)

    async def _run(self) -> Outcome:
        parts = self._parts
        self._options, self._encoding = read_speech(self._socket.query_params, parts)
        if self._options.voice:
            used(self._socket, "voice_selection")
        await accept(self._socket, {"dg-request-id": self._request_id})
        self._open = True
        self._sender = Sender(self._socket, parts.limits.unread_seconds)
        self._line = SpeechLine[Message](parts.tts, parts.limits.speak)
        await self._sender.json(self._metadata())
        loop = asyncio.get_running_loop()
        reading, writing = loop.create_task(self._read()), loop.create_task(self._write())
        try:
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                writing.result()
            outcome = await reading
            if outcome is Outcome.CLOSED:
                await writing
                await close(self._socket, 1000)
            return outcome
        except WebSocketDisconnect:
            return Outcome.GONE
        finally:
            reading.cancel()
            writing.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
            seconds = self._samples / self._options.sample_rate
            parts.watch.said("deepgram", seconds, self._line.characters)

    async def _read(self) -> Outcome:
        while True:
            await self._line.room()
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    message = await self._socket.receive()
            except TimeoutError:
                raise ClientSilent(f"nothing was received for {_IDLE_SECONDS:g} s") from None
            if message["type"] == "websocket.disconnect":
                return Outcome.GONE
            if message.get("text") is None:
                raise RequestUnfit("a binary message; texts to speak go in JSON")
            if not await self._obey(read_control(message["text"])):
                self._line.close()
                return Outcome.CLOSED

    async def _obey(self, message: Mapping[str, Any]) -> bool:
        """Whether more may come."""
        match message.get("type"):
            case "Speak":
                self._line.say(_text(message), self._options)
            case "Flush" if not self._may_flush():
                await self._sender.json(self._too_often())
            case "Flush":
                self._line.flush(self._options, Mark(self._numbered("Flushed")))
            case "Clear":
                self._line.clear(Mark(self._numbered("Cleared")))
            case "Close":
                self._line.flush(self._options)
                return False
            case "KeepAlive":
                pass
            case other:
                known = "Speak, Flush, Clear, Close, KeepAlive"
                raise RequestUnfit(f"{str(other)[:40]!r} is not known; known: {known}", field="type")
        return True

    async def _write(self) -> None:
        async with aclosing(self._line.sounds()) as sounds:
            async for item in sounds:
                if isinstance(item, Mark):
                    await self._sender.json(item.what)
                else:
                    self._samples += len(item.pcm)
                    await self._sender.octets(octets(item.pcm, self._encoding))

    def _may_flush(self) -> bool:
        most, at = self._parts.limits.speak.flushes_per_minute, now()
        while self._flushed and at - self._flushed[0] >= _FLUSH_SECONDS:
            self._flushed.popleft()
        if most and len(self._flushed) >= most:
            return False
        self._flushed.append(at)
        return True

    def _too_often(self) -> Message:
        most = self._parts.limits.speak.flushes_per_minute
        told = (
            f"more than {most} Flush messages in {_FLUSH_SECONDS:g} s: this one is not done; its text waits"
        )
        return {"type": "Warning", "description": told, "code": "FLUSH_LIMIT"}

    def _numbered(self, kind: str) -> Message:
        self._sequence += 1
        return {"type": kind, "sequence_id": self._sequence - 1}

    def _metadata(self) -> Message:
        model = Model(self._options.voice or self._parts.tts.name, self._parts.version)
        return {
            "type": "Metadata",
            "request_id": self._request_id,
            "model_name": model.name,
            "model_version": model.version,
            "model_uuid": model.model_uuid,
            "additional_model_uuids": [],
        }

    async def _failed(self, error: Exception) -> None:
        if not self._open:
            await refuse(self._socket, answer(error, self._request_id))
            return
        code, reason = _closing(error)
        if code == 1011:
            log.warning("a speaking socket broke", request_id=self._request_id, error=repr(error))
        told = {"type": "Warning", "description": message_of(error), "code": reason}
        try:
            await Sender(self._socket, 1.0).json(told)
        except Exception as gone:
            log.debug("nobody to tell", error=repr(gone))
        await close(self._socket, code, reason)


def read_speech(query: Query, parts: SpeechParts) -> tuple[TtsOptions, RawEncoding]:
    """What the address asks for. Raises `RequestUnfit`, naming the parameter."""
    for name in query.keys():
        if name not in _KNOWN and name not in _IGNORED:
            raise RequestUnfit(f"is not known; {nearest(name, _KNOWN)}", field=name[:60])
    encoding = RawEncoding(_choice(query, "encoding", [*RawEncoding], RawEncoding.LINEAR16))
    _choice(query, "container", ["none"], "none")
    narrow = encoding is not RawEncoding.LINEAR16
    rates = (8000, 16000) if narrow else (8000, 16000, 24000, 32000, 44100, 48000)
    rate = _choice(query, "sample_rate", [str(rate) for rate in rates], "8000" if narrow else "24000")
    model = next(iter(query.getlist("model")), "")
    options = TtsOptions(
        sample_rate=int(rate),
        voice=voice_for(model, parts.tts),
        language=language_of(model, parts.speaks.languages, parts.language),
        speed=read_speed(query),
    )
    return options, encoding


def read_speed(query: Query) -> float:
    """0.5 to 2."""
    text = next(iter(query.getlist("speed")), "1")
    try:
        speed = float(text)
    except ValueError:
        speed = float("nan")
    if not 0.5 <= speed <= 2.0:
        raise RequestUnfit("must be a number from 0.5 to 2", field="speed")
    return speed


def _choice(query: Query, name: str, known: list[str], default: str) -> str:
    text = next(iter(query.getlist(name)), "") or default
    if text not in known:
        raise RequestUnfit(f"{text[:40]!r} is not made here; choose {', '.join(known)}", field=name)
    return text


def _text(message: Mapping[str, Any]) -> str:
    text = message.get("text")
    if not isinstance(text, str):
        raise RequestUnfit("must be a string", field="text")
    if len(text) > _LONGEST_TEXT:
        told = f"{len(text)} characters in one message; at most {_LONGEST_TEXT}"
        raise BodyTooLarge(told, most_bytes=_LONGEST_TEXT, field="text")
    return text


def _closing(error: Exception) -> tuple[int, str]:
    """Close code and Deepgram's reason."""
    match error:
        case BodyTooLarge():
            return 1009, "BIG-0000"
        case RequestUnfit(field="type"):
            return 1003, "MESSAGE-0000"
        case RequestUnfit() | EngineRefused():
            return 1008, "DATA-0000"
        case ClientSilent():
            return 1011, "NET-0001"
        case ClientSlow():
            return 1008, "NET-0002"
        case Draining():
            return SERVICE_RESTART, "NET-0000"
    return 1011, "NET-0000"
