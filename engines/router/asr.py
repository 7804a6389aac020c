"""Several recognisers as one `Asr`."""

from __future__ import annotations

import numpy as np

from engines.base import Asr, AsrOptions, EngineFailed
from engines.router.bench import Bench
from engines.router.hearing import RoutedStream
from media.frame import AudioFrame, frame_samples

_PROBE_FRAMES = 10
_RATE = 8000


class RoutedAsr:
    """Serves `Asr`: each stream is one of the best recogniser's, and another one's when that fails."""

    def __init__(self, bench: Bench[Asr]) -> None:
        self.bench = bench

    @property
    def name(self) -> str:
        """Those of its engines."""
        return ", ".join(member.name for member in self.bench.members)

    def stream(self, options: AsrOptions) -> RoutedStream:
        """See `Asr.stream`. Raises what the last of them said when none takes it, and `EngineRefused` when
        none may."""
        return RoutedStream(self.bench, options)

    async def warm_up(self) -> None:
        """Have one work, and the others as soon as they can. Raises `EngineError` when none does."""
        await self.bench.warm_up()

    def stats(self) -> dict[str, float]:
        """Of each engine, and of changes among them; see `Bench.stats`."""
        return self.bench.stats()

    async def aclose(self) -> None:
        await self.bench.aclose()


async def probe_asr(asr: Asr) -> None:
    """Have a recogniser hear a moment of silence to its end. Raises `EngineError`."""
    stream = asr.stream(AsrOptions(sample_rate=_RATE, interim=False))
    try:
        stream.start(1)
        size = frame_samples(_RATE)
        for number in range(_PROBE_FRAMES):
            stream.push(AudioFrame(np.zeros(size, np.int16), _RATE, number * size, 0.0))
        stream.end()
        async for transcript in stream.results():
            if transcript.is_final:
                return
        raise EngineFailed("it gave no final")
    finally:
        await stream.aclose()
