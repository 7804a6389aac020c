"""Several voices as one `Tts`: what one does not finish, another one does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from engines.base import EngineFailed, SpeechChunk, Tts, TtsOptions
from engines.router.bench import Bench
from engines.router.speech import RoutedSpeech

_PROBE = "Yes."
_RATE = 8000


class RoutedTts:
    """Serves `Tts`: each passage is spoken by the best voice, and its rest by another when that fails."""

    def __init__(self, bench: Bench[Tts]) -> None:
        self.bench = bench

    @property
    def name(self) -> str:
        """Those of its engines."""
        return ", ".join(member.name for member in self.bench.members)

    @property
    def voices(self) -> tuple[str, ...]:
        """Those of all engines, the first one's first."""
        return tuple(dict.fromkeys(voice for member in self.bench.members for voice in member.engine.voices))

    async def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        """See `Tts.speak`. Raises what the last engine said when none could finish it."""
        if not text.strip():
            return
        speech = RoutedSpeech(self.bench, text, options)
        async with aclosing(speech.chunks()) as chunks:
            async for chunk in chunks:
                yield chunk

    async def warm_up(self) -> None:
        """Have one work, and the others as soon as they can. Raises `EngineError` when none does."""
        await self.bench.warm_up()

    def stats(self) -> dict[str, float]:
        """Of each engine, and of changes among them; see `Bench.stats`."""
        return self.bench.stats()

    async def aclose(self) -> None:
        await self.bench.aclose()


async def probe_tts(tts: Tts) -> None:
    """Have a voice say a word, as far as its first sound. Raises `EngineError`."""
    chunks = tts.speak(_PROBE, TtsOptions(_RATE))
    try:
        async for chunk in chunks:
            if len(chunk.pcm):
                return
    finally:
        if (close := getattr(chunks, "aclose", None)) is not None:
            await close()
    raise EngineFailed("it gave no sound")
