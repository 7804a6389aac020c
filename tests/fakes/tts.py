"""A voice that hums: a tenth of a second per word, and a level of its own for each sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np

from engines.base import EngineFailed, SpeechChunk, TtsOptions, Word

WORD = 0.1


class ToneTts:
    """`takes` seconds to the first sound. `fails`: how many sentences break, after half of their words."""

    name = "tone"
    voices = ("tone",)

    def __init__(self, takes: float = 0.04, fails: int = 0, half: bool = False) -> None:
        self.takes, self.fails, self.half = takes, fails, half
        self.spoken: list[str] = []

    async def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        await asyncio.sleep(self.takes)
        self.spoken.append(text)
        said = text.split()
        words = tuple(Word(word, n * WORD, (n + 1) * WORD, 1.0) for n, word in enumerate(said))
        pcm = np.full(round(len(said) * WORD * options.sample_rate), 100 * len(self.spoken), np.int16)
        if self.fails:
            self.fails -= 1
            if self.half:
                yield SpeechChunk(pcm[: len(pcm) // 2], words)
            raise EngineFailed("scripted")
        yield SpeechChunk(pcm, words)

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...
