"""The calls' engines for the API, bound to where the operator lets sound and words be worked on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from engines.base import Asr, AsrOptions, AsrStream, Residency, SpeechChunk, Tts, TtsOptions
from engines.traits import AsrTraits, TtsTraits, asr_traits, tts_traits


class WithinAsr:
    """An `Asr` whose streams go no further than the limit."""

    def __init__(self, asr: Asr, limit: Residency) -> None:
        self._asr = asr
        self._limit = limit

    @property
    def name(self) -> str:
        """The recogniser's own."""
        return self._asr.name

    @property
    def traits(self) -> AsrTraits:
        """The recogniser's own."""
        return asr_traits(self._asr)

    def stream(self, options: AsrOptions) -> AsrStream:
        """See `Asr.stream`."""
        return self._asr.stream(replace(options, data=self._limit))

    async def warm_up(self) -> None:
        await self._asr.warm_up()

    async def aclose(self) -> None:
        await self._asr.aclose()


class WithinTts:
    """A `Tts` whose texts go no further than the limit."""

    def __init__(self, tts: Tts, limit: Residency) -> None:
        self._tts = tts
        self._limit = limit

    @property
    def name(self) -> str:
        """The voice's own."""
        return self._tts.name

    @property
    def voices(self) -> tuple[str, ...]:
        """The voice's own."""
        return self._tts.voices

    @property
    def traits(self) -> TtsTraits:
        """The voice's own."""
        return tts_traits(self._tts)

    def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        """See `Tts.speak`."""
        return self._tts.speak(text, replace(options, data=self._limit))

    async def warm_up(self) -> None:
        await self._tts.warm_up()

    async def aclose(self) -> None:
        await self._tts.aclose()
