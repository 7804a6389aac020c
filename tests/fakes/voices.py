"""A voice detector that calls everything loud a voice, and sounds to feed it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import numpy.typing as npt

from gateway.api.core.voice_bench import VoiceBench
from media import tones
from media.frame import Pcm, Voice


class LoudIsVoice:
    """Judges by level alone; remembers which legs were forgotten."""

    def __init__(self) -> None:
        self.forgotten: list[int] = []
        self.batches: list[int] = []

    def judge(
        self,
        legs: Sequence[int],
        frames: npt.NDArray[np.int16],
        counts: Sequence[int] | npt.NDArray[np.integer],
        rates: Sequence[int] | npt.NDArray[np.integer],
    ) -> list[Voice]:
        self.batches.append(len(legs))
        loud = np.abs(frames.astype(np.int32)).max(axis=1) > 1000
        return [Voice(bool(one), 1.0 if one else 0.0) for one in loud]

    def forget(self, leg: int) -> None:
        self.forgotten.append(leg)


async def at_once(work: Callable[[], list[Voice]]) -> list[Voice]:
    """Runs on the loop, as virtual time needs it."""
    return work()


def bench(detector: LoudIsVoice | None = None) -> VoiceBench:
    run: Callable[[Callable[[], list[Voice]]], Awaitable[list[Voice]]] = at_once
    return VoiceBench(detector or LoudIsVoice(), run=run)


def sound(spans: Sequence[tuple[float, float]], until: float, rate: int = 8000) -> Pcm:
    """Silence with a tone in each span, in seconds."""
    pcm = np.zeros(round(until * rate), np.int16)
    for start, end in spans:
        hum = tones.tone((440.0,), end - start, rate)
        pcm[round(start * rate) : round(start * rate) + len(hum)] = hum
    return pcm
