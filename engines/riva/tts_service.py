"""Riva's synthesis service, served by any `Tts`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import numpy as np

from engines.base import EngineTimeout, SpeechChunk, Tts
from engines.riva.dialect import DIALECT, VERSION
from engines.riva.door import Door, send
from engines.riva.incoming import Incoming
from engines.riva.limits import WireLimits
from engines.riva.refusal import Refused
from engines.riva.tts_request import TtsAsk, read_request
from engines.riva.wire import Message, Status, tts_pb2
from engines.traits import tts_traits
from media.clock import now
from media.frame import Pcm, samples

_PIECE = 0.5
"""Seconds of one message at most: a client that cancels is not sent much for nothing."""
_ROOM = 65536
"""Octets of a message kept for everything that is not sound."""


class TtsService:
    """`nvidia.riva.tts.RivaSpeechSynthesis`. Refuses everything until `begin` gives it an engine."""

    def __init__(self, door: Door, limits: WireLimits, language: str = "en-US") -> None:
        self._door = door
        self._limits = limits
        self._language = language
        self._engine: Tts | None = None

    def begin(self, engine: Tts) -> None:
        """The engine is ready: let clients in."""
        self._engine = engine
        self._door.open()

    async def Synthesize(self, request: Message, context: Any) -> Message | None:
        """The whole speech in one message."""
        async with self._door.serving(context, "Synthesize"):
            ask = self._ask(request)
            most = (self._limits.message_bytes - _ROOM) // 2
            parts: list[Pcm] = []
            answer = tts_pb2.SynthesizeSpeechResponse(id=_id(request))
            async with aclosing(self._spoken(ask)) as chunks:
                async for chunk in chunks:
                    parts.append(chunk.pcm)
                    if sum(map(len, parts)) > most:
                        told = "text: its speech is too long for one message; use SynthesizeOnline"
                        raise Refused(told, Status.OUT_OF_RANGE)
                    _tell_words(answer, chunk, ask, 0.0)
            pcm = np.concatenate(parts) if parts else np.zeros(0, np.int16)
            answer.audio = pcm.astype("<i2", copy=False).tobytes()
            answer.meta.text = request.text
            self._door.watch.said(len(pcm) / ask.options.sample_rate)
            return answer
        return None

    async def SynthesizeOnline(self, requests: AsyncIterator[Message], context: Any) -> None:
        """Speech as it comes, text after text; word times count from the first sample of the stream.

        A text that comes while the last one is still heard can wait: who has nothing to hear goes first.
        """
        async with self._door.serving(context, "SynthesizeOnline"):
            said, heard_until = 0.0, 0.0
            with Incoming(requests, self._limits.idle_seconds) as incoming:
                while (request := await incoming.next()) is not None:
                    seconds = await self._speak(request, context, said, heard_until - now())
                    said += seconds
                    heard_until = max(heard_until, now()) + seconds

    async def GetRivaSynthesisConfig(self, request: Message, context: Any) -> Message | None:
        """One entry for each voice, under the engine's name."""
        async with self._door.serving(context, "GetRivaSynthesisConfig"):
            engine = self._ready()
            if request.model_name not in ("", engine.name):
                told = f"model_name: {request.model_name[:40]!r} is not served here, but {engine.name!r}"
                raise Refused(told, Status.NOT_FOUND)
            answer = tts_pb2.RivaSynthesisConfigResponse()
            for voice in engine.voices:
                parameters = {
                    "voice_name": voice,
                    "language_code": ",".join(tts_traits(engine).languages),
                    DIALECT: VERSION,
                }
                answer.model_config.add(model_name=engine.name, parameters=parameters)
            return answer
        return None

    async def _speak(self, request: Message, context: Any, before: float, ahead: float) -> float:
        """One text of a stream; returns the seconds of its speech. `ahead`: of earlier speech to be heard."""
        ask = self._ask(request).ahead_by(ahead)
        rate = ask.options.sample_rate
        asked, sent = now(), 0
        async with aclosing(self._spoken(ask)) as chunks:
            async for chunk in chunks:
                for number, piece in enumerate(_pieces(chunk.pcm, samples(_PIECE, rate))):
                    answer = tts_pb2.SynthesizeSpeechResponse(
                        audio=piece.astype("<i2", copy=False).tobytes(), id=_id(request)
                    )
                    if not number:
                        _tell_words(answer, chunk, ask, before)
                    await send(context, answer, self._limits.unread_seconds)
                    if not sent:
                        self._door.watch.sound_after(now() - asked)
                    sent += len(piece)
                    self._door.watch.said(len(piece) / rate)
        return sent / rate

    async def _spoken(self, ask: TtsAsk) -> AsyncGenerator[SpeechChunk, None]:
        """The engine's chunks, none of them later than the limit. Closing it cancels the engine's work."""
        chunks = self._ready().speak(ask.text, ask.options)
        try:
            while True:
                try:
                    async with asyncio.timeout(self._limits.sound_seconds):
                        chunk = await anext(chunks, None)
                except TimeoutError:
                    raise EngineTimeout(f"no sound for {self._limits.sound_seconds:g} s") from None
                if chunk is None:
                    return
                yield chunk
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    def _ready(self) -> Tts:
        if self._engine is None:
            raise Refused("the worker is still starting", Status.UNAVAILABLE)
        return self._engine

    def _ask(self, request: Message) -> TtsAsk:
        return read_request(request, self._ready(), self._language, self._limits.text_chars)


def _id(request: Message) -> Message | None:
    return request.id if request.HasField("id") else None


def _pieces(pcm: Pcm, size: int) -> list[Pcm]:
    return [pcm[place : place + size] for place in range(0, len(pcm), size)]


def _tell_words(answer: Message, chunk: SpeechChunk, ask: TtsAsk, before: float) -> None:
    if not ask.word_times:
        return
    for word in chunk.words:
        answer.meta.words.add(
            word=word.text,
            start_time=round((before + word.start) * 1000),
            end_time=round((before + word.end) * 1000),
        )
