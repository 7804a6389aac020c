"""Smallest's live transcription: `/waves/v1/stt/live`, its older address, and the self-host class's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from fastapi import FastAPI, WebSocket
from starlette.websockets import WebSocketDisconnect

from engines.base import AsrOptions, Word
from gateway.api.core.audio_in import AudioIn
from gateway.api.core.audio_packed import open_packed
from gateway.api.core.listening import Heard, ListenAsk, ListenEvent, Listening
from gateway.api.core.plain_text import bare
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.core.utterances import Began, Stopped
from gateway.api.dialect import ErrorShape, accept, name_request, refuse, streamed
from gateway.api.live_socket import (
    SERVICE_RESTART,
    Control,
    LiveSocket,
    LiveTerms,
    Message,
    Outcome,
    Sender,
    close,
)
from gateway.api.metering import metered, used
from gateway.api.smallest.errors import code_of, flat, waves
from gateway.api.smallest.query import PulseQuery, read_pulse
from gateway.api.told import message_of
from gateway.errors import ClientSilent, Draining, LimitReached, RequestUnfit
from gateway.keys.key import Scope

log = structlog.get_logger(__name__)

_IDLE_SECONDS = 60.0
"""No contract says: clients keep alive every 5 or 10 seconds."""


def add(api: FastAPI, parts: SpeechParts) -> None:
    """The three sockets; they differ in whether words are told unless asked not to, and in their errors."""

    @api.websocket("/waves/v1/stt/live")
    async def live(socket: WebSocket) -> None:
        await _Stream(parts, socket, waves, words=False).serve()

    @api.websocket("/waves/v1/pulse/get_text")
    async def older(socket: WebSocket) -> None:
        await _Stream(parts, socket, waves, words=True).serve()

    @api.websocket("/v1/listen/stream")
    async def stream(socket: WebSocket) -> None:
        await _Stream(parts, socket, flat, words=False).serve()


@dataclass(slots=True)
class _Words:
    """Pulse's words."""

    query: PulseQuery
    session_id: str
    said: list[str] = field(default_factory=list)
    """Finals so far, for those who want the whole each time."""

    def read(self, message: Mapping[str, Any]) -> tuple[Control, Iterable[Message]]:
        """See `LiveDialect.read`."""
        match message.get("type"):
            case "finalize":
                return Control.FINALIZE, ()
            case "close_stream" | "end":
                return Control.CLOSE, ()
            case "keepalive" | "ping":
                return Control.KEEP, ({"type": "pong", "session_id": self.session_id},)
        known = "finalize, close_stream, keepalive"
        raise RequestUnfit(f"{str(message.get('type'))[:40]!r} is not known; known: {known}", field="type")

    def tell(self, event: ListenEvent) -> Iterable[Message]:
        """See `LiveDialect.tell`."""
        match event:
            case Began(at=at) if self.query.vad_events:
                yield self._voice("speech_started", at)
            case Stopped(at=at) if self.query.vad_events:
                yield self._voice("speech_ended", at)
            case Heard() if event.text or event.is_final:
                yield self.transcription(event)

    def transcription(self, heard: Heard, *, last: bool = False) -> Message:
        """`transcription`; the text stands twice, because clients read either."""
        text = heard.text if self.query.punctuate else bare(heard.text)
        if heard.is_final and text:
            self.said.append(text)
        body: dict[str, Any] = {
            "type": "transcription",
            "status": "success",
            "session_id": self.session_id,
            "transcription": text,
            "transcript": text,
            "is_final": heard.is_final,
            "is_last": last,
            "from_finalize": heard.from_finalize,
            "speech_final": heard.endpoint,
            "language": self.query.language,
            **self.query.body(),
        }
        if self.query.words:
            body["words"] = words_of(heard.words)
        if self.query.utterances and heard.is_final and text:
            body["utterances"] = [{"text": text, "start": round(heard.start, 3), "end": round(heard.end, 3)}]
        if self.query.full and heard.is_final:
            body["full_transcript"] = " ".join(self.said)
        return body

    def _voice(self, kind: str, at: float) -> Message:
        return {"type": kind, "session_id": self.session_id, "timestamp": round(at, 3)}


def words_of(words: Sequence[Word]) -> list[dict[str, Any]]:
    """`words[]`."""
    return [
        {
            "word": word.text,
            "start": round(word.start, 3),
            "end": round(word.end, 3),
            "confidence": round(word.confidence, 4),
        }
        for word in words
    ]


class _Stream:
    """One socket, from its handshake to its close code."""

    def __init__(self, parts: SpeechParts, socket: WebSocket, shape: ErrorShape, *, words: bool) -> None:
        self._parts = parts
        self._socket = socket
        self._shape = shape
        self._words = words
        self._session_id = name_request(socket, parts)
        self._open = False

    async def serve(self) -> None:
        """Never raises: what goes wrong becomes an HTTP answer, or an `error` message and a close code."""
        try:
            async with streamed(self._socket, self._parts, Scope.LISTEN):
                async with metered(self._parts, "smallest", "listen_live", self._socket) as meter:
                    meter.outcome = await self._run()
        except WebSocketDisconnect:
            log.debug("the client left", request_id=self._session_id)
        except Exception as error:
            await self._failed(error)

    async def _run(self) -> Outcome:
        parts = self._parts
        query = read_pulse(
            self._socket.query_params, parts.hears, parts.language, live=True, words=self._words
        )
        used(self._socket, *query.features())
        audio = AudioIn(query.form, open_packed)
        silence = max(query.silence_ms, parts.limits.shortest_endpoint_ms)
        options = AsrOptions(query.language, query.form.frame_rate)
        ask = ListenAsk(options, silence, segmenter=parts.segmenter)
        listening = Listening(parts.asr, parts.bench, ask, parts.limits.listen)
        try:
            await accept(self._socket, {"X-Session-Id": self._session_id})
            self._open = True
            terms = LiveTerms(_IDLE_SECONDS, unread_seconds=parts.limits.unread_seconds)
            sender = Sender(self._socket, terms.unread_seconds)
            words = _Words(query, self._session_id)
            outcome = await LiveSocket(self._socket, sender, listening, audio, words, terms).run()
            parts.watch.heard("smallest", listening.seconds)
            if outcome is Outcome.CLOSED:
                at = listening.seconds
                last = Heard(0, "", (), 0.0, at, at, is_final=True)
                await sender.json(words.transcription(last, last=True))
                await close(self._socket, 1000)
            return outcome
        finally:
            await listening.aclose()

    async def _failed(self, error: Exception) -> None:
        if isinstance(error, LimitReached) and not self._open:
            # The contract's way to say that there is no place: the socket opens, is told, and is closed.
            await accept(self._socket, {"X-Session-Id": self._session_id})
            self._open = True
        if not self._open:
            await refuse(self._socket, self._shape(error, self._session_id))
            return
        status, code = code_of(error)
        if status >= 500:
            log.warning("a live stream broke", request_id=self._session_id, error=repr(error))
        told = {
            "type": "error",
            "status": "error",
            "session_id": self._session_id,
            "code": code,
            "message": message_of(error),
            "error": message_of(error),
        }
        try:
            await Sender(self._socket, 1.0).json(told)
        except Exception as gone:
            log.debug("nobody to tell", error=repr(gone))
        await close(self._socket, _closing(error, status), code)


def _closing(error: Exception, status: int) -> int:
    """1008 for what the client did, 1011 for what broke here, 1000 for silence."""
    match error:
        case ClientSilent():
            return 1000
        case Draining():
            return SERVICE_RESTART
        case LimitReached() | RequestUnfit():
            return 1008
    return 1008 if status < 500 else 1011
