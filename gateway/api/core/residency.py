"""The calls' engines for the API, bound to where the operator lets sound and words be worked on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from engines.base import Asr, AsrOptions, AsrStream, Residency, SpeechChunk, Tts, TtsOptions
from gateway.wrapped import WrappedAsr, WrappedTts


class WithinAsr(WrappedAsr):
    """An `Asr` whose streams go no further than the limit."""

    def __init__(self, asr: Asr, limit: Residency) -> None:
        super().__init__(asr)
        self._limit = limit

    def stream(self, options: AsrOptions) -> AsrStream:
        """See `Asr.stream`."""
        return super().stream(replace(options, data=self._limit))


class WithinTts(WrappedTts):
    """A `Tts` whose texts go no further than the limit."""

    def __init__(self, tts: Tts, limit: Residency) -> None:
        super().__init__(tts)
        self._limit = limit

    def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        """See `Tts.speak`."""
        return super().speak(text, replace(options, data=self._limit))
