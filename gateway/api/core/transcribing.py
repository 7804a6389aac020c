"""A whole recording to words: the live path, fed as fast as the recogniser takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from engines.base import Asr, Word
from gateway.api.core.framer import Framer
from gateway.api.core.listening import Heard, ListenAsk, Listening, ListenLimits
from gateway.api.core.voice_bench import VoiceBench
from media.frame import Pcm

_SLICE = 50
"""Frames handed over in one go: a second of sound."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What a recording holds. Times are seconds of it."""

    utterances: tuple[Heard, ...]
    """The finals that have words, in order."""
    seconds: float

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(heard.text for heard in self.utterances)

    @property
    def words(self) -> tuple[Word, ...]:
        """All of them."""
        return tuple(word for heard in self.utterances for word in heard.words)

    @property
    def confidence(self) -> float:
        """Of all utterances, by their length; 0 where nothing was said."""
        letters = sum(len(heard.text) for heard in self.utterances)
        return sum(h.confidence * len(h.text) for h in self.utterances) / letters if letters else 0.0


async def transcribed(
    asr: Asr,
    bench: VoiceBench,
    sound: AsyncIterator[Pcm],
    ask: ListenAsk,
    limits: ListenLimits,
    *,
    heard: Callable[[Heard], None] = lambda final: None,
    progress: Callable[[float], None] = lambda seconds: None,
) -> Recording:
    """Everything said in `sound`, mono at the rate of `ask.options`, pieces of any length.

    `heard` is told each final as it comes, `progress` the seconds heard so far. Raises `EngineError`, and
    whatever `sound` raises.
    """
    listening = Listening(asr, bench, ask, limits)
    feeding = asyncio.get_running_loop().create_task(_feed(listening, sound, ask, progress))
    finals: list[Heard] = []
    try:
        async with aclosing(_finals(listening, feeding)) as found:
            async for final in found:
                finals.append(final)
                heard(final)
        await feeding
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        await listening.aclose()
    return Recording(tuple(finals), listening.seconds)


async def _feed(
    listening: Listening, sound: AsyncIterator[Pcm], ask: ListenAsk, progress: Callable[[float], None]
) -> None:
    framer = Framer(ask.options.sample_rate)
    async for pcm in sound:
        frames = framer.push(pcm, 0.0)
        for place in range(0, len(frames), _SLICE):
            await listening.push(frames[place : place + _SLICE])
            progress(listening.seconds)
    await listening.push(framer.flush(0.0))
    await listening.finish()
    progress(listening.seconds)


async def _finals(listening: Listening, feeding: asyncio.Task[None]) -> AsyncGenerator[Heard, None]:
    """To the end of the stream; a feed that breaks ends it too."""
    feeding.add_done_callback(lambda task: listening.stop() if _broke(task) else None)
    async for event in listening.events():
        if isinstance(event, Heard) and event.is_final and event.text:
            yield event


def _broke(task: asyncio.Task[None]) -> bool:
    return task.cancelled() or task.exception() is not None
