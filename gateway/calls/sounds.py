"""Sound files in a reply: opened when their place comes, and again for as often as they are wanted."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.agents.base import PlaySound
from media.frame import Pcm

_KEPT_SECONDS = 30.0
"""Sounds up to this length are kept while they go round; longer ones are opened anew."""


async def looped(sound: PlaySound, sample_rate: int) -> AsyncGenerator[Pcm, None]:
    """Its blocks, `loops` times over. One without a sample ends at once. Raises what `open` does."""
    kept: list[Pcm] = []
    rounds = samples = 0
    while not sound.loops or rounds < sound.loops:
        if rounds and samples <= _KEPT_SECONDS * sample_rate:
            for block in kept:
                yield block
        else:
            kept, samples = [], 0
            source = sound.open(sample_rate)
            async with aclosing(source):  # a file half read is closed with us
                async for block in source:
                    samples += len(block)
                    if samples <= _KEPT_SECONDS * sample_rate:
                        kept.append(block)
                    yield block
        if not samples:
            return
        rounds += 1
