"""Smallest's live speech: `/waves/v1/tts/live` and the self-host class's `/v1/speak/stream`.

A request is one message, or several that are `continue`d, with or without a `context_id`. It ends with one
`complete`; a `context_id` that is cancelled just falls silent.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi import FastAPI, WebSocket
from starlette.websockets import WebSocketDisconnect

from engines.base import SpeechChunk, TtsOptions
from gateway.api.core.sound_out import RawEncoding, octets
from gateway.api.core.speech_line import Mark, SpeechLine
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.dialect import ErrorShape, accept, name_request, refuse, streamed
from gateway.api.live_socket import SERVICE_RESTART, Message, Outcome, Sender, close, read_control
from gateway.api.metering import metered
from gateway.api.smallest.errors import code_of, flat, waves
from gateway.api.smallest.speak_ask import ON_SOCKETS, WavesAsk, flag, read_waves
from gateway.api.told import message_of
from gateway.audio.encode import Codec, Container
from gateway.errors import ClientSilent, Draining, RequestUnfit
from gateway.keys.key import Scope

log = structlog.get_logger(__name__)

_IDLE_SECONDS = 60.0
_LONGEST_IDLE = 3600.0
_BUFFER_MS = 3000
_RAW = {
    (Codec.LINEAR16, Container.NONE): RawEncoding.LINEAR16,
    (Codec.MULAW, Container.NONE): RawEncoding.MULAW,
    (Codec.ALAW, Container.NONE): RawEncoding.ALAW,
}


def add(api: FastAPI, parts: SpeechParts) -> None:
    """The two sockets."""

    @api.websocket("/waves/v1/tts/live")
    async def live(socket: WebSocket) -> None:
        await _Stream(parts, socket, waves).serve()

    @api.websocket("/v1/speak/stream")
    async def stream(socket: WebSocket) -> None:
        await _Stream(parts, socket, flat).serve()


@dataclass(frozen=True, slots=True)
class _Request:
    """What answers to a request say of it."""

    request_id: str
    context_id: str = ""
    external_session_id: str = ""
    external_request_id: str = ""
    words: bool = False
    encoding: RawEncoding = RawEncoding.LINEAR16
    sample_rate: int = 44_100

    def body(self, session_id: str, status: str, data: Mapping[str, Any] | None = None) -> Message:
        """One message."""
        body: dict[str, Any] = {"session_id": session_id, "request_id": self.request_id, "status": status}
        named = {
            "context_id": self.context_id,
            "external_session_id": self.external_session_id,
            "external_request_id": self.external_request_id,
        }
        body |= {name: value for name, value in named.items() if value}
        if data is not None:
            body["data"] = data
        if status == "complete":
            body["done"] = True
        return body


class _Stream:
    """One socket, from its handshake to its close code."""

    def __init__(self, parts: SpeechParts, socket: WebSocket, shape: ErrorShape) -> None:
        self._parts = parts
        self._socket = socket
        self._shape = shape
        self._session_id = name_request(socket, parts)
        self._open = False
        self._seconds = 0.0
        self._current: tuple[_Request, TtsOptions] | None = None
        """The request that more text may come for, or whose sound is not out yet."""
        self._continued = False
        self._timer: asyncio.TimerHandle | None = None

    async def serve(self) -> None:
        """Never raises: what goes wrong becomes an HTTP answer, or an `error` message and a close code."""
        try:
            async with streamed(self._socket, self._parts, Scope.SPEAK):
                async with metered(self._parts, "smallest", "speak_live", self._socket) as meter:
                    meter.outcome = await self._run()
        except WebSocketDisconnect:
            log.debug("the client left", request_id=self._session_id)
        except Exception as error:
            await self._failed(error)

    async def _run(self) -> Outcome:
        self._idle = _idle(self._socket.query_params.get("timeout", ""))
        await accept(self._socket, {"X-Session-Id": self._session_id})
        self._open = True
        self._sender = Sender(self._socket, self._parts.limits.unread_seconds)
        self._line = SpeechLine[_Request](self._parts.tts, self._parts.limits.speak)
        self._speaking = _Request("")
        loop = asyncio.get_running_loop()
        reading, writing = loop.create_task(self._read()), loop.create_task(self._write())
        try:
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                writing.result()
            return await reading
        except WebSocketDisconnect:
            return Outcome.GONE
        finally:
            self._disarm()
            reading.cancel()
            writing.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
            self._parts.watch.said("smallest", self._seconds, self._line.characters)

    async def _read(self) -> Outcome:
        while True:
            await self._line.room()
            try:
                async with asyncio.timeout(self._idle):
                    message = await self._socket.receive()
            except TimeoutError:
                raise ClientSilent(f"nothing was received for {self._idle:g} s") from None
            if message["type"] == "websocket.disconnect":
                return Outcome.GONE
            if message.get("text") is None:
                raise RequestUnfit("a binary message; texts to speak go in JSON")
            body = read_control(message["text"])
            try:
                await self._take(body)
            except RequestUnfit as error:  # one bad request costs only itself
                await self._tell(error, str(body.get("request_id") or self._parts.new_id()))

    async def _take(self, body: Mapping[str, Any]) -> None:
        if body.get("type") in ("keepalive", "ping"):
            return
        known = (*ON_SOCKETS, "type")
        ask = read_waves(body, self._parts, known)
        context = body.get("context_id") or ""
        if not isinstance(context, str):
            raise RequestUnfit("must be a string", field="context_id")
        if len(ask.text) > self._parts.limits.text_chars:
            raise RequestUnfit(f"at most {self._parts.limits.text_chars} characters", field="text")
        if flag(body, "cancel_request"):
            await self._cancel(context)
            return
        more, flushed = flag(body, "continue"), flag(body, "flush")
        closes = bool(context) and not more
        if not ask.text.strip() and not (flushed or closes or self._continued):
            return  # a sign of life
        self._disarm()
        self._begin(ask, context)
        assert self._current is not None
        request, options = self._current
        if ask.text:
            self._line.say(ask.text, options)
        if flushed or not more:
            self._line.flush(options, Mark(request))
            self._current, self._continued = None, False
        else:
            self._continued = True
            self._arm(body.get("max_buffer_delay_ms"))

    def _begin(self, ask: WavesAsk, context: str) -> None:
        """The request that the text belongs to; another context ends the one before it."""
        if self._current is not None:
            request, options = self._current
            if not context or request.context_id == context:
                return
            self._line.flush(options, Mark(request))
        encoding = _RAW.get((ask.format.codec, ask.format.container))
        if encoding is None:
            raise RequestUnfit("sockets send pcm, ulaw or alaw", field="output_format")
        request = _Request(
            self._parts.new_id(),
            context,
            ask.session_id,
            ask.request_id,
            ask.words,
            encoding,
            ask.options.sample_rate,
        )
        self._current = (request, ask.options)
        self._line.begin(Mark(request))

    async def _cancel(self, context: str) -> None:
        """Falls silent at once; other contexts' requests that go with it are told to be complete."""
        self._disarm()
        dropped = {request.request_id: request for request in self._line.clear()}
        for request in dropped.values():
            if request.context_id != context:
                await self._sender.json(request.body(self._session_id, "complete"))
        self._current, self._continued = None, False

    def _arm(self, given: Any) -> None:
        """A fragment is not kept for ever: after a while it is spoken as it stands."""
        wait = given if isinstance(given, int) and 0 <= given <= 5000 else _BUFFER_MS
        self._timer = asyncio.get_running_loop().call_later(wait / 1000, self._speak_rest)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _speak_rest(self) -> None:
        if self._current is not None:
            self._line.flush(self._current[1])

    async def _write(self) -> None:
        begun: set[str] = set()
        async with aclosing(self._line.sounds()) as sounds:
            async for item in sounds:
                if isinstance(item, SpeechChunk):
                    await self._sound(item)
                elif item.what.request_id not in begun:
                    begun.add(item.what.request_id)
                    self._speaking = item.what
                else:
                    begun.discard(item.what.request_id)
                    await self._sender.json(item.what.body(self._session_id, "complete"))

    async def _sound(self, chunk: SpeechChunk) -> None:
        request = self._speaking
        self._seconds += len(chunk.pcm) / request.sample_rate
        if request.words:
            for number, word in enumerate(chunk.words):
                told = {
                    "id": number,
                    "word": word.text,
                    "start": round(word.start, 3),
                    "end": round(word.end, 3),
                }
                await self._sender.json(request.body(self._session_id, "word_timestamp", told))
        data = base64.b64encode(octets(chunk.pcm, request.encoding)).decode()
        await self._sender.json(request.body(self._session_id, "chunk", {"audio": data}))

    async def _tell(self, error: Exception, request_id: str) -> None:
        told = message_of(error)
        body = _Request(request_id).body(self._session_id, "error")
        await self._sender.json({**body, "message": told, "error": told, "code": code_of(error)[1]})

    async def _failed(self, error: Exception) -> None:
        if not self._open:
            await refuse(self._socket, self._shape(error, self._session_id))
            return
        status = code_of(error)[0]
        if status >= 500:
            log.warning("a speaking socket broke", request_id=self._session_id, error=repr(error))
        self._sender = Sender(self._socket, 1.0)
        try:
            await self._tell(error, self._session_id)
        except Exception as gone:
            log.debug("nobody to tell", error=repr(gone))
        await close(self._socket, _closing(error, status), code_of(error)[1])


def _closing(error: Exception, status: int) -> int:
    """1008 for what the client did, 1011 for what broke here, 1000 for silence."""
    match error:
        case ClientSilent():
            return 1000
        case Draining():
            return SERVICE_RESTART
    return 1008 if status < 500 else 1011


def _idle(text: str) -> float:
    """Raises `RequestUnfit`."""
    if not text:
        return _IDLE_SECONDS
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= _LONGEST_IDLE:
        raise RequestUnfit(f"must be a whole number from 1 to {_LONGEST_IDLE:g}", field="timeout")
    return float(text)
