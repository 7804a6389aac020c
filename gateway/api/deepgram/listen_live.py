"""WS `/v1/listen`: Deepgram's live transcription."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi import FastAPI, WebSocket
from starlette.websockets import WebSocketDisconnect

from engines.base import AsrOptions
from gateway.api.core.audio_in import AudioForm, AudioIn, Encoding
from gateway.api.core.audio_packed import open_packed
from gateway.api.core.listening import Heard, ListenAsk, ListenEvent, Listening, UtteranceOver
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.core.utterances import Began
from gateway.api.deepgram import shape
from gateway.api.deepgram.errors import answer, code_of
from gateway.api.deepgram.query import ListenQuery, read
from gateway.api.dialect import accept, name_request, refuse, streamed
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
from gateway.api.metering import metered
from gateway.api.told import message_of
from gateway.errors import AbilityMissing, AudioUnfit, ClientSilent, ClientSlow, Draining, RequestUnfit
from gateway.keys.key import Scope

log = structlog.get_logger(__name__)

_IDLE_SECONDS = 10.0
"""The contract's: neither sound nor KeepAlive for so long is NET-0001."""
_ENCODINGS = {
    "linear16": Encoding.LINEAR16, "linear32": Encoding.LINEAR32, "mulaw": Encoding.MULAW,
    "alaw": Encoding.ALAW, "opus": Encoding.OPUS, "ogg-opus": Encoding.OPUS, "flac": Encoding.CONTAINER,
    "": Encoding.CONTAINER,
}  # fmt: skip
_MUTE = {"amr-nb", "amr-wb", "speex", "g729"}


def form_of(query: ListenQuery) -> AudioForm:
    """How the stream's octets are to be read. Raises `RequestUnfit`."""
    encoding = _ENCODINGS.get(query.encoding.lower())
    if encoding is None:
        known = ", ".join(name for name in _ENCODINGS if name)
        told = "is not decoded here" if query.encoding.lower() in _MUTE else "is not known"
        raise RequestUnfit(f"{query.encoding[:40]!r} {told}; send {known}", field="encoding")
    return AudioForm(encoding, query.sample_rate, query.channels)


def add(api: FastAPI, parts: SpeechParts) -> None:
    """The socket."""

    @api.websocket("/v1/listen")
    async def listen_live(socket: WebSocket) -> None:
        await _Stream(parts, socket, name_request(socket, parts)).serve()


@dataclass(slots=True)
class _Words:
    """Deepgram's words."""

    query: ListenQuery
    request_id: str
    model: shape.Model

    def read(self, message: Mapping[str, Any]) -> tuple[Control, Iterable[Message]]:
        """See `LiveDialect.read`."""
        match message.get("type"):
            case "KeepAlive":
                return Control.KEEP, ()
            case "Finalize":
                return Control.FINALIZE, ()
            case "CloseStream":
                return Control.CLOSE, ()
            case "Configure":
                return Control.KEEP, (self._not_configured(),)
        known = "KeepAlive, Finalize, CloseStream, Configure"
        raise RequestUnfit(f"{str(message.get('type'))[:40]!r} is not known; known: {known}", field="type")

    def tell(self, event: ListenEvent) -> Iterable[Message]:
        """See `LiveDialect.tell`."""
        match event:
            case Began(at=at) if self.query.vad_events:
                yield {"type": "SpeechStarted", "channel": [0, 1], "timestamp": round(at, 3)}
            case UtteranceOver(last_word_end=at):
                yield {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": round(at, 3)}
            case Heard() if event.is_final or self.query.interim:
                if event.text or event.is_final:
                    yield shape.results(
                        event,
                        self.request_id,
                        self.model,
                        punctuate=self.query.punctuate,
                        endpoints=self.query.endpoint_ms is not None,
                    )

    def _not_configured(self) -> Message:
        return {
            "type": "ConfigureFailure",
            "request_id": self.request_id,
            "code": "CONFIGURE_KEYTERMS_NOT_SUPPORTED",
            "description": "hot words are set when the stream is opened, by keyterm in its address",
        }


class _Stream:
    """One socket, from its handshake to its close code."""

    def __init__(self, parts: SpeechParts, socket: WebSocket, request_id: str) -> None:
        self._parts = parts
        self._socket = socket
        self._request_id = request_id
        self._model = shape.Model(parts.asr.name, parts.version)
        self._open = False

    async def serve(self) -> None:
        """Never raises: whatever goes wrong becomes an HTTP answer, an `Error` message or a close code."""
        try:
            async with streamed(self._socket, self._parts, Scope.LISTEN):
                async with metered(self._parts, "deepgram", "listen_live", self._socket) as meter:
                    meter.outcome = await self._run()
        except WebSocketDisconnect:
            log.debug("the client left", request_id=self._request_id)
        except Exception as error:
            await self._failed(error)

    async def _run(self) -> Outcome:
        parts = self._parts
        query = read(
            self._socket.query_params, parts.hears, parts.language, parts.limits.shortest_endpoint_ms
        )
        if query.callback:
            raise RequestUnfit("results of a live stream are sent on its socket only", field="callback")
        if query.multichannel and query.channels > 1:
            raise AbilityMissing("live streams are heard as one channel; leave it out", field="multichannel")
        form = form_of(query)
        audio = AudioIn(form, open_packed)
        listening = Listening(parts.asr, parts.bench, self._ask(query, form), parts.limits.listen)
        try:
            await accept(self._socket, self._headers(query))
            self._open = True
            terms = LiveTerms(
                _IDLE_SECONDS,
                keeping_needs_sound=True,
                empty_closes=True,
                unread_seconds=parts.limits.unread_seconds,
            )
            sender = Sender(self._socket, terms.unread_seconds)
            words = _Words(query, self._request_id, self._model)
            stream = LiveSocket(self._socket, sender, listening, audio, words, terms)
            outcome = await stream.run()
            parts.watch.heard("deepgram", listening.seconds)
            if outcome is Outcome.CLOSED:
                await sender.json({"type": "Metadata", **self._metadata(stream, query)})
                await close(self._socket, 1000)
            return outcome
        finally:
            await listening.aclose()

    def _ask(self, query: ListenQuery, form: AudioForm) -> ListenAsk:
        options = AsrOptions(
            language=query.language,
            sample_rate=form.frame_rate,
            interim=query.interim,
            hot_words=query.hot_words,
        )
        endpoint = query.endpoint_ms
        if endpoint is None:  # finals are wanted all the same, only none of them ends the speech
            endpoint = self._parts.segmenter.hangover_ms
        return ListenAsk(options, endpoint, query.utterance_end_ms, self._parts.segmenter)

    def _headers(self, query: ListenQuery) -> dict[str, str]:
        headers = {"dg-request-id": self._request_id}
        if query.warnings:
            headers["dg-warning"] = "; ".join(f"{w.parameter}: {w.message}" for w in query.warnings)
        return headers

    def _metadata(self, stream: LiveSocket, query: ListenQuery) -> dict[str, Any]:
        return shape.metadata(
            self._request_id,
            stream.octets.hexdigest(),
            self._parts.wall(),
            stream.listening.seconds,
            self._model,
            query.warnings,
            query.extra,
            channels=query.channels,
        )

    async def _failed(self, error: Exception) -> None:
        if not self._open:
            await refuse(self._socket, answer(error, self._request_id))
            return
        if code_of(error)[0] >= 500:
            log.warning("a live stream broke", request_id=self._request_id, error=repr(error))
        code, reason = _closing(error)
        try:
            await Sender(self._socket, 1.0).json(
                {
                    "type": "Error",
                    "variant": "SchemaError" if isinstance(error, RequestUnfit) else code_of(error)[1],
                    "description": message_of(error),
                    "message": message_of(error),
                    "code": reason,
                    "request_id": self._request_id,
                }
            )
        except Exception as gone:
            log.debug("nobody to tell", error=repr(gone))
        await close(self._socket, code, reason)


def _closing(error: Exception) -> tuple[int, str]:
    """Close code and Deepgram's reason."""
    match error:
        case ClientSilent():
            return 1011, "NET-0001"
        case ClientSlow():
            return 1008, "NET-0002"
        case AudioUnfit() | RequestUnfit():
            return 1008, "DATA-0000"
        case Draining():
            return SERVICE_RESTART, "NET-0000"
    return 1011, "NET-0000"
