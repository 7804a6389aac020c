"""Samples of any number into 20 ms frames."""

from __future__ import annotations

import numpy as np

from media.frame import AudioFrame, Pcm, frame_samples


class Framer:
    """One stream's samples at 8000 or 16000 a second; what does not fill a frame waits."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._hop = frame_samples(sample_rate)
        self._rest: Pcm = np.zeros(0, np.int16)
        self._pts = 0

    def push(self, pcm: Pcm, arrived: float) -> list[AudioFrame]:
        """The frames that are full now."""
        waiting = np.concatenate([self._rest, pcm]) if len(self._rest) else pcm
        whole = len(waiting) // self._hop * self._hop
        frames = [
            AudioFrame(waiting[place : place + self._hop], self._rate, self._pts + place, arrived)
            for place in range(0, whole, self._hop)
        ]
        self._rest = waiting[whole:]
        self._pts += whole
        return frames

    def flush(self, arrived: float) -> list[AudioFrame]:
        """The end: the last frame is filled up with silence."""
        if not len(self._rest):
            return []
        return self.push(np.zeros(self._hop - len(self._rest), np.int16), arrived)
