"""A recogniser and a voice of exactly known delay, so that what is left of a turn is the gateway's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np

from engines.base import AsrOptions, AsrStream, SpeechChunk, Transcript, TtsOptions
from media.frame import AudioFrame

WORDS = "This is what the caller said."
SOUND_SECONDS = 0.6
_TONE_HZ, _TONE_LEVEL = 400.0, 8000.0


@dataclass(frozen=True, slots=True)
class ScriptedAsrSettings:
    """How long the recogniser takes."""

    final: float = 0.06
    """Seconds from the end of a segment to its final words."""


class ScriptedAsr:
    """Hears the same words in every segment. Decodes nothing ahead."""

    name = "scripted"

    def __init__(self, settings: ScriptedAsrSettings) -> None:
        self._settings = settings

    def stream(self, options: AsrOptions) -> AsrStream:
        return _Stream(self._settings.final)

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...


class _Stream:
    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._segment = 0
        self._given: asyncio.Queue[Transcript | None] = asyncio.Queue()

    def start(self, segment: int) -> None:
        self._segment = segment

    def push(self, frame: AudioFrame) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def end(self) -> None:
        final = Transcript(self._segment, WORDS, is_final=True)
        asyncio.get_running_loop().call_later(self._delay, self._given.put_nowait, final)

    def cancel(self) -> None: ...

    async def results(self) -> AsyncIterator[Transcript]:
        while (transcript := await self._given.get()) is not None:
            yield transcript

    async def aclose(self) -> None:
        self._given.put_nowait(None)


@dataclass(frozen=True, slots=True)
class ScriptedTtsSettings:
    """How long the voice takes."""

    first: float = 0.06
    """Seconds from a sentence to its first sound, which is all of it."""


class ScriptedTts:
    """Says everything as the same short tone, loud from its first sample on."""

    name = "scripted"
    voices = ("tone",)

    def __init__(self, settings: ScriptedTtsSettings) -> None:
        self._settings = settings

    async def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        await asyncio.sleep(self._settings.first)
        phase = np.arange(round(SOUND_SECONDS * options.sample_rate)) / options.sample_rate
        tone = _TONE_LEVEL * np.cos(2 * np.pi * _TONE_HZ * phase)
        yield SpeechChunk(tone.astype(np.int16))

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...
