"""Our own words and sounds in a call whose agent makes its own sound: spoken or read, and who waits for whom.

While they are written to the playout, what the agent sends is held back, and comes after them; a voice is
faster than speech, so that takes moments. Nothing is mixed or lowered: one line of sound, one after another.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

from engines.text import SentenceSplitter
from gateway.calls.deadlines import paced
from gateway.calls.orders import PlayNow, SayNow
from gateway.calls.speaking import SpeakingVoice
from media.frame import Pcm
from media.wav import read_mono

_Sound: TypeAlias = tuple[Pcm, str]
"""Samples and their tag."""


async def ordered_sound(
    order: SayNow | PlayNow, voice: SpeakingVoice, rate: int
) -> AsyncGenerator[Pcm, None]:
    """What was ordered, at this rate. Raises `EngineError`, `TimeoutError`, `OSError`, `ValueError`."""
    if isinstance(order, PlayNow):
        yield await asyncio.to_thread(read_mono, order.file, rate)
        return
    splitter = SentenceSplitter()
    options, limits = replace(voice.options, sample_rate=rate), voice.deadlines
    for sentence in (*splitter.push(order.text), *splitter.flush()):
        sound = voice.tts.speak(sentence, options)
        async with aclosing(paced(sound, limits.tts_first, limits.tts_next)) as chunks:
            async for chunk in chunks:
                yield chunk.pcm


class HeldBack:
    """What an agent sends while our own words go first, in its order."""

    def __init__(self, samples: int, names: int) -> None:
        """`samples` of sound and `names` of marks may wait; what is more is refused."""
        self._room = samples
        self._names = names
        self._items: list[_Sound | str] = []

    def play(self, pcm: Pcm, tag: str) -> int:
        """Keep sound; returns the samples taken."""
        taken = pcm[: self._room]
        if len(taken):
            self._room -= len(taken)
            self._items.append((taken, tag))
        return len(taken)

    def mark(self, name: str) -> bool:
        """Keep a mark; False when too many wait."""
        if self._names <= 0:
            return False
        self._names -= 1
        self._items.append(name)
        return True

    def take(self) -> list[_Sound | str]:
        """All of it, in order: sound with its tag, or a mark's name."""
        items, self._items = self._items, []
        return items
