"""From a model's samples to the leg's: silence trimmed, level kept, edges smooth, while they come in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engines.loudness import (
    SILENCE,
    Samples,
    active_level,
    faded,
    frame_levels,
    levelled,
    limited,
    speech_bounds,
    to_pcm,
)
from media.frame import Pcm, samples
from media.resample import Resampler

_FADE_IN = 0.004
_FADE_OUT = 0.012
_LONGEST_LEAD = 1.5
"""Seconds of silence at most that are dropped before the first sound."""
_JUDGED = 0.3
"""Seconds of speech after which its own level is believed."""
_SLEW = 8.0
"""Most dB per second by which the gain follows it."""


@dataclass(frozen=True, slots=True)
class Loudness:
    """How loud speech is to be."""

    level: float = -20.0
    """Active speech level in dBFS."""
    max_gain: float = 12.0
    """Most dB by which it is raised."""
    threshold: float = -58.0
    """What is quieter than this, in dBFS, at either end of a stretch is cut off."""
    lead: float = 0.01
    """Seconds kept before the first sound."""
    tail: float = 0.03
    """Seconds kept after the last one."""

    def gain(self, level: float) -> float:
        """dB that bring speech of this level where it belongs."""
        return 0.0 if level == SILENCE else min(self.level - level, self.max_gain)

    def whole(self, pcm: Samples, rate: int) -> tuple[Samples, float]:
        """A whole stretch, trimmed and levelled; and the seconds that were cut off its front."""
        start, end = speech_bounds(pcm, rate, self.threshold)
        start = max(0, start - samples(self.lead, rate))
        end = min(len(pcm), end + samples(self.tail, rate)) if end else 0
        loud = levelled(pcm[start:end], rate, self.level, self.max_gain)
        return faded(loud, rate, _FADE_IN, _FADE_OUT), start / rate


class Stretching:
    """One stretch of speech that comes in pieces, at the model's rate.

    It begins with the gain that the voice usually needs and follows the stretch's own level slowly, since the
    first sound must not wait for the last.
    """

    def __init__(self, rate: int, loudness: Loudness, gain: float = 0.0) -> None:
        self._rate = rate
        self._loudness = loudness
        self._gain = gain
        self._heard = np.zeros(0, np.float32)
        self._dropped = 0
        self._begun = False

    def push(self, pcm: Samples, *, last: bool = False) -> Samples:
        """What of the piece is to be heard, possibly nothing."""
        if not self._begun:
            pcm = self._trimmed(pcm)
        if last and len(pcm):
            pcm = self._ended(pcm)
        if not len(pcm):
            return pcm
        loud = self._levelled(pcm)
        loud = faded(loud, self._rate, 0.0 if self._begun else _FADE_IN, _FADE_OUT if last else 0.0)
        self._begun = True
        return loud

    @property
    def level(self) -> float:
        """Active level of the stretch so far, as the model spoke it, in dBFS."""
        return active_level(self._heard, self._rate)

    def _trimmed(self, pcm: Samples) -> Samples:
        """Without the silence before the first sound."""
        start, _ = speech_bounds(pcm, self._rate, self._loudness.threshold)
        silent = not start and (not len(pcm) or self._silent(pcm))
        most = samples(_LONGEST_LEAD, self._rate) - self._dropped
        cut = len(pcm) if silent else max(0, start - samples(self._loudness.lead, self._rate))
        cut = min(cut, max(0, most))
        self._dropped += cut
        return pcm[cut:]

    def _silent(self, pcm: Samples) -> bool:
        levels = frame_levels(pcm, self._rate)
        return not len(levels) or float(levels.max()) <= self._loudness.threshold

    def _ended(self, pcm: Samples) -> Samples:
        """Without the silence after the last sound of this piece."""
        _, end = speech_bounds(pcm, self._rate, self._loudness.threshold)
        return pcm[: min(len(pcm), end + samples(self._loudness.tail, self._rate))]

    def _levelled(self, pcm: Samples) -> Samples:
        self._heard = np.concatenate([self._heard, pcm])[-10 * self._rate :]
        wanted = self._gain
        if len(self._heard) >= _JUDGED * self._rate:
            most = _SLEW * len(pcm) / self._rate
            wanted += float(np.clip(self._loudness.gain(self.level) - self._gain, -most, most))
        ramp = np.linspace(self._gain, wanted, len(pcm), dtype=np.float32)
        self._gain = wanted
        return limited((pcm * 10 ** (ramp / 20)).astype(np.float32))


class Leg:
    """A passage on its way to one leg: its stretches joined, at the leg's rate."""

    def __init__(self, source: int, rate: int) -> None:
        self.rate = rate
        self._source = source
        self._resampler = Resampler(source, rate)

    def push(self, pcm: Samples, pause: float = 0.0) -> Pcm:
        """Samples that are ready for the leg; `pause`: seconds of silence that follow."""
        silence = np.zeros(samples(pause, self._source), np.int16)
        return self._resampler.push(np.concatenate([to_pcm(pcm), silence]))

    def flush(self) -> Pcm:
        """The rest, when the passage is over."""
        return self._resampler.flush()
