"""Prompts that are said again and again, kept as samples in front of any voice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from engines.base import SpeechChunk, Tts, TtsOptions
from engines.traits import TtsTraits, tts_traits

_NO_HURRY = 3600.0
"""Seconds of `TtsOptions.ahead` that let every caller go first."""


@dataclass(frozen=True, slots=True)
class SpeechCacheSettings:
    """How much is kept."""

    bytes: int = 16_000_000
    """Most bytes of samples, 0 to 4,000,000,000; 0 keeps nothing. Three seconds at 8 kHz take 48,000."""
    watched: int = 2048
    """Texts remembered (as hashes) after one use, 1 to 1,000,000; only what comes twice is kept."""

    def __post_init__(self) -> None:
        if not 0 <= self.bytes <= 4_000_000_000:
            raise ValueError(f"speech_cache.bytes is {self.bytes}: choose a value from 0 to 4000000000")
        if not 1 <= self.watched <= 1_000_000:
            raise ValueError(f"speech_cache.watched is {self.watched}: choose a value from 1 to 1000000")


class _Key(NamedTuple):
    voice: str
    text: str
    sample_rate: int
    speed: float
    language: str


class Shelf(Protocol):
    """Where prepared speech lies that other nodes made. Quick, and never raises."""

    async def get(self, key: tuple[object, ...]) -> tuple[SpeechChunk, ...] | None:
        """The speech, if it is there."""

    async def put(self, key: tuple[object, ...], chunks: Sequence[SpeechChunk]) -> None:
        """Leave it for others."""


class SpeechCache:
    """A `Tts` around another one: a text that was said before comes at once, without the voice.

    A text is kept when it is prewarmed or said whole for the second time, so that a caller's own words, said
    once, are not. The least recently said go first when there is no more room.
    """

    def __init__(
        self, tts: Tts, settings: SpeechCacheSettings | None = None, shelf: Shelf | None = None
    ) -> None:
        """`shelf`: for what is prewarmed only; nobody who waits for speech waits for it."""
        self._tts = tts
        self._shelf = shelf
        self._settings = settings or SpeechCacheSettings()
        self._kept: OrderedDict[_Key, tuple[SpeechChunk, ...]] = OrderedDict()
        self._bytes = 0
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._counts = {"hits": 0, "misses": 0, "evicted": 0, "shared": 0}

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

    def stats(self) -> dict[str, int]:
        """Hits, misses and evictions so far; passages and bytes kept now."""
        return {**self._counts, "kept": len(self._kept), "bytes": self._bytes}

    async def warm_up(self) -> None:
        await self._tts.warm_up()

    async def aclose(self) -> None:
        self._kept.clear()
        self._bytes = 0
        await self._tts.aclose()

    async def prewarm(self, texts: Iterable[str], options: TtsOptions) -> None:
        """Have these texts ready, behind every caller. Raises what the voice raises; what was ready stays."""
        options = replace(options, ahead=_NO_HURRY)
        for text in texts:
            key = _key(text, options, self._tts.voices)
            if key not in self._kept:
                said = await self._prepared(key, text, options)
                if len({chunk.engine for chunk in said}) <= 1:
                    self._keep(key, said)

    async def _prepared(self, key: _Key, text: str, options: TtsOptions) -> list[SpeechChunk]:
        if self._shelf is not None and (found := await self._shelf.get(key)) is not None:
            self._counts["shared"] += 1
            return list(found)
        said = [chunk async for chunk in self._tts.speak(text, options)]
        if self._shelf is not None and len({chunk.engine for chunk in said}) <= 1:
            await self._shelf.put(key, said)
        return said

    async def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        """As the voice speaks it, from memory if it can be."""
        key = _key(text, options, self._tts.voices)
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            self._counts["hits"] += 1
            for chunk in kept:
                yield chunk
            return
        self._counts["misses"] += 1
        said: list[SpeechChunk] = []
        chunks = self._tts.speak(text, options)
        try:
            async for chunk in chunks:
                said.append(chunk)
                yield chunk
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()
        # What several engines spoke would change its voice in the middle ever after.
        if self._was_seen(key) and len({chunk.engine for chunk in said}) <= 1:
            self._keep(key, said)

    def _was_seen(self, key: _Key) -> bool:
        """Whether this was said before; from now on it was."""
        mark = hash(key)
        seen = mark in self._seen
        self._seen[mark] = None
        self._seen.move_to_end(mark)
        if len(self._seen) > self._settings.watched:
            self._seen.popitem(last=False)
        return seen

    def _keep(self, key: _Key, chunks: list[SpeechChunk]) -> None:
        size = sum(chunk.pcm.nbytes for chunk in chunks)
        if key in self._kept or not 0 < size <= self._settings.bytes:
            return
        for chunk in chunks:
            chunk.pcm.flags.writeable = False
        self._kept[key] = tuple(chunks)
        self._bytes += size
        while self._bytes > self._settings.bytes:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= sum(chunk.pcm.nbytes for chunk in gone)
            self._counts["evicted"] += 1


def _key(text: str, options: TtsOptions, voices: tuple[str, ...]) -> _Key:
    voice = options.voice or (voices[0] if voices else "")
    return _Key(voice, " ".join(text.split()), options.sample_rate, options.speed, options.language)
