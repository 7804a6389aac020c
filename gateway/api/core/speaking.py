"""Text to sound, sentence by sentence, so that the first sounds while the rest is not yet spoken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, replace

from engines.base import EngineTimeout, SpeechChunk, Tts, TtsOptions, Word
from engines.text.sentences import SentenceSplitter
from media.frame import samples


@dataclass(frozen=True, slots=True)
class SpeakLimits:
    """Bounds of one text and of one socket."""

    sound_seconds: float = 15.0
    """0.05 to 600: a voice that gives no sound for so long has failed."""
    piece_seconds: float = 0.25
    """0.02 to 5: sound that is sent in one go; a cancel takes effect within it."""
    flushes_per_minute: int = 20
    """0 to 100,000: flushes of one Deepgram socket in any 60 s, as in their contract; one more is answered
    with a warning and left undone. 0: as many as come."""
    texts_waiting: int = 256
    """1 to 10,000: messages of one socket that wait to be spoken; beyond it no more are read."""

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "sound_seconds": (0.05, 600),
            "piece_seconds": (0.02, 5),
            "flushes_per_minute": (0, 100_000),
            "texts_waiting": (1, 10_000),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: give {low:g} to {high:g}")


def sentences(text: str) -> list[str]:
    """The sentences of a whole text, as they are to be spoken one after the other."""
    splitter = SentenceSplitter()
    return [*splitter.push(text), *splitter.flush()]


async def spoken(
    tts: Tts, texts: Iterable[str], options: TtsOptions, limits: SpeakLimits
) -> AsyncGenerator[SpeechChunk, None]:
    """The chunks of all texts in order, none longer than a piece; word times count from the first sample.

    Closing it cancels the voice's work. Raises `EngineError`; `EngineTimeout` when no sound comes in time.
    """
    said = 0
    for text in texts:
        before = said / options.sample_rate
        async with aclosing(
            _one(tts, text, replace(options, ahead=options.ahead + before), limits)
        ) as chunks:
            async for chunk in chunks:
                words = tuple(later(word, before) for word in chunk.words)
                size = samples(limits.piece_seconds, options.sample_rate)
                for place in range(0, len(chunk.pcm), size):
                    yield SpeechChunk(chunk.pcm[place : place + size], () if place else words)
                said += len(chunk.pcm)


async def _one(
    tts: Tts, text: str, options: TtsOptions, limits: SpeakLimits
) -> AsyncGenerator[SpeechChunk, None]:
    chunks: AsyncIterator[SpeechChunk] = tts.speak(text, options)
    try:
        while True:
            try:
                async with asyncio.timeout(limits.sound_seconds):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                raise EngineTimeout(f"no sound for {limits.sound_seconds:g} s") from None
            if chunk is None:
                return
            yield chunk
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


def later(word: Word, seconds: float) -> Word:
    """The word, so much later."""
    return Word(word.text, word.start + seconds, word.end + seconds, word.confidence)
