"""A text as an answer's body: its first sound is awaited, the rest is sent while it is spoken."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import TypeAlias

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from engines.base import EngineFailed, TtsOptions
from gateway.api.connected import NOBODY, HungUp, while_connected
from gateway.api.core.speaking import sentences, spoken
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.metering import metered, used
from gateway.audio.encode import SpeechFormat, encoded
from media.frame import Pcm


@dataclass(frozen=True, slots=True)
class SpeakAsk:
    """A text that can be spoken."""

    text: str
    options: TtsOptions
    format: SpeechFormat


class Spoken:
    """One text being spoken."""

    def __init__(self, parts: SpeechParts, ask: SpeakAsk, api: str) -> None:
        self._parts = parts
        self._ask = ask
        self._api = api
        self._samples = 0
        self._sound = encoded(self._pcm(), ask.format, ask.options.sample_rate)
        self._first = b""

    async def begin(self) -> None:
        """Waits for the first sound, so that what cannot be spoken is an error. Raises `EngineError`."""
        self._first = await anext(self._sound, b"")
        if not self._samples:
            raise EngineFailed("the voice gave no sound for this text")

    async def octets(self) -> AsyncIterator[bytes]:
        """The sound. An error in the middle breaks the connection: half a text must not look whole."""
        yield self._first
        async for octets in self._sound:
            yield octets

    async def aclose(self) -> None:
        """Stops the voice. Idempotent."""
        await self._sound.aclose()
        seconds = self._samples / self._ask.options.sample_rate
        self._samples = 0
        if seconds:
            self._parts.watch.said(self._api, seconds, len(self._ask.text))

    async def _pcm(self) -> AsyncGenerator[Pcm, None]:
        texts, limits = sentences(self._ask.text), self._parts.limits.speak
        async with aclosing(spoken(self._parts.tts, texts, self._ask.options, limits)) as chunks:
            async for chunk in chunks:
                self._samples += len(chunk.pcm)
                yield chunk.pcm


class _Held(StreamingResponse):
    """Gives back what the request held when it is over, however it ends."""

    def __init__(
        self, body: AsyncIterator[bytes], kept: AsyncExitStack, headers: dict[str, str], media_type: str
    ) -> None:
        super().__init__(body, headers=headers, media_type=media_type)
        self._kept = kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._kept:
            await super().__call__(scope, receive, send)


Events: TypeAlias = Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]
"""Wraps pieces of sound as server-sent events."""


async def speak(
    request: Request,
    parts: SpeechParts,
    ask: SpeakAsk,
    api: str,
    headers: dict[str, str],
    entered: AsyncExitStack,
    *,
    events: Events | None = None,
) -> Response:
    """The answer; with `events` its pieces are wrapped. Raises `EngineError`.

    What was `entered`, such as the caller's place, is kept until the last piece is sent.
    """
    await entered.enter_async_context(metered(parts, api, "speak", request))
    if ask.options.voice:
        used(request, "voice_selection")
    text = Spoken(parts, ask, api)
    entered.push_async_callback(text.aclose)
    try:
        await while_connected(request, text.begin())
    except HungUp:
        return Response(status_code=NOBODY)
    kept = entered.pop_all()
    if events is not None:
        return _Held(events(text.octets()), kept, headers, "text/event-stream")
    return _Held(text.octets(), kept, headers, ask.format.media_type)
