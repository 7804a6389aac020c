"""Engines in front of engines: all is the inner one's but what a class of its own changes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from engines.base import Asr, AsrOptions, AsrStream, SpeechChunk, Tts, TtsOptions
from engines.traits import AsrTraits, TtsTraits, asr_traits, tts_traits


class WrappedAsr:
    """An `Asr` in front of another."""

    def __init__(self, asr: Asr, name: str = "") -> None:
        """`name`: what it is called; empty: as the inner one."""
        self._asr = asr
        self._name = name or asr.name

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    @property
    def traits(self) -> AsrTraits:
        """The inner one's."""
        return asr_traits(self._asr)

    def stream(self, options: AsrOptions) -> AsrStream:
        """See `Asr.stream`."""
        return self._asr.stream(options)

    async def warm_up(self) -> None:
        """See `Asr.warm_up`."""
        await self._asr.warm_up()

    async def aclose(self) -> None:
        """See `Asr.aclose`."""
        await self._asr.aclose()


class WrappedTts:
    """A `Tts` in front of another."""

    def __init__(self, tts: Tts, name: str = "") -> None:
        """`name`: what it is called; empty: as the inner one."""
        self._tts = tts
        self._name = name or tts.name

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    @property
    def voices(self) -> tuple[str, ...]:
        """The inner one's."""
        return self._tts.voices

    @property
    def traits(self) -> TtsTraits:
        """The inner one's."""
        return tts_traits(self._tts)

    def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        """See `Tts.speak`."""
        return self._tts.speak(text, options)

    async def warm_up(self) -> None:
        """See `Tts.warm_up`."""
        await self._tts.warm_up()

    async def aclose(self) -> None:
        """See `Tts.aclose`."""
        await self._tts.aclose()
