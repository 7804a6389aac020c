"""POST `/v1/audio/speech`: text in, sound out, sentence by sentence."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from engines.base import EngineFailed, TtsOptions
from gateway.api.connected import NOBODY, HungUp, while_connected
from gateway.api.core.speaking import sentences, spoken
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.dialect import plain, read_body, read_json, request_id, served
from gateway.api.metering import metered, used
from gateway.api.openai.errors import error_body
from gateway.api.openai.openapi import SPEECH
from gateway.api.openai.speech_request import RATE, SpeechAsk, read_ask
from gateway.api.openai.transcriptions import NOT_HONOURED
from gateway.audio.encode import encoded
from gateway.keys.key import Scope
from media.frame import Pcm

log = structlog.get_logger(__name__)


def add_speech(router: APIRouter, parts: SpeechParts) -> None:
    """Adds the route."""

    @router.post("/v1/audio/speech", openapi_extra=SPEECH, response_class=Response)
    async def speech(request: Request) -> Response:
        """A text as sound: mp3, opus, aac, flac, wav or pcm; or as server-sent events."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(served(request, parts, Scope.SPEAK))
            await stack.enter_async_context(metered(parts, "openai", "speak", request))
            ask = read_ask(read_json(await read_body(request, parts.limits.text_bytes)), parts.tts)
            used(request, "voice_selection")
            named = {"x-request-id": request_id(request)}
            if ask.not_honoured:
                named[NOT_HONOURED] = "; ".join(ask.not_honoured)
            spoken_text = _Spoken(parts, ask)
            stack.push_async_callback(spoken_text.aclose)
            try:
                await while_connected(request, spoken_text.begin())
            except HungUp:
                return Response(status_code=NOBODY)
            kept = stack.pop_all()
            if ask.events:
                return StreamingResponse(spoken_text.events(kept), 200, named, "text/event-stream")
            return StreamingResponse(spoken_text.octets(kept), 200, named, ask.format.media_type)


class _Spoken:
    """A text being spoken. Its first sound is awaited before the answer begins."""

    def __init__(self, parts: SpeechParts, ask: SpeechAsk) -> None:
        self._ask = ask
        self._samples = 0
        self._sound = encoded(self._pcm(parts), ask.format, RATE)
        self._first = b""

    async def begin(self) -> None:
        """Waits for the first sound, so that what cannot be spoken is an HTTP error. Raises `EngineError`."""
        self._first = await anext(self._sound, b"")
        if not self._samples:
            raise EngineFailed("the voice gave no sound for this text")

    async def octets(self, kept: AsyncExitStack) -> AsyncIterator[bytes]:
        """The sound. An error in the middle breaks the connection: half a text must not look whole."""
        async with kept:
            yield self._first
            async for octets in self._sound:
                yield octets

    async def events(self, kept: AsyncExitStack) -> AsyncIterator[str]:
        """The sound as events."""
        async with kept:
            try:
                yield _delta(self._first)
                async for octets in self._sound:
                    yield _delta(octets)
            except Exception as error:
                yield _event(error_body(plain(error)))
                return
            words = len(self._ask.text.split())
            seconds = math.ceil(self._samples / RATE)
            counts = {"input_tokens": words, "output_tokens": seconds, "total_tokens": words + seconds}
            yield _event({"type": "speech.audio.done", "usage": counts})

    async def aclose(self) -> None:
        """Stops the voice. Idempotent."""
        await self._sound.aclose()

    async def _pcm(self, parts: SpeechParts) -> AsyncGenerator[Pcm, None]:
        options = TtsOptions(RATE, self._ask.voice, parts.language, self._ask.speed)
        texts = sentences(self._ask.text)
        try:
            async with aclosing(spoken(parts.tts, texts, options, parts.limits.speak)) as chunks:
                async for chunk in chunks:
                    self._samples += len(chunk.pcm)
                    yield chunk.pcm
        finally:
            parts.watch.said("openai", self._samples / RATE, len(self._ask.text))


def _delta(octets: bytes) -> str:
    return _event({"type": "speech.audio.delta", "audio": base64.b64encode(octets).decode()})


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content)}\n\n"
