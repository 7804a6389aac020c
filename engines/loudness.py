"""How loud speech is, and making it as loud as a telephone wants it. Samples are floats, full scale 1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from media.frame import Pcm, samples

Samples = npt.NDArray[np.float32]

_FRAME = 0.005
_ACTIVE_BELOW_PEAK = 25.0
"""Frames this far below the loudest one, in dB, are pauses and do not count."""
_KNEE = 0.6
_CEILING = 0.97
_FLOOR = 1e-12
SILENCE = -200.0
"""What stands for the level of no sound at all, in dBFS."""


def frame_levels(pcm: Samples, sample_rate: int) -> npt.NDArray[np.float64]:
    """RMS of each whole 5 ms in dBFS."""
    size = max(1, samples(_FRAME, sample_rate))
    frames = pcm[: len(pcm) // size * size].reshape(-1, size)
    powers = np.mean(np.square(frames, dtype=np.float64), axis=1)
    levels: npt.NDArray[np.float64] = 10 * np.log10(np.maximum(powers, _FLOOR))
    return levels


def active_level(pcm: Samples, sample_rate: int) -> float:
    """RMS in dBFS of the parts where somebody speaks; `SILENCE` when nobody does."""
    levels = frame_levels(pcm, sample_rate)
    if not len(levels) or levels.max() <= 10 * np.log10(_FLOOR):
        return SILENCE
    active = levels[levels > levels.max() - _ACTIVE_BELOW_PEAK]
    return float(10 * np.log10(np.mean(10 ** (active / 10))))


def speech_bounds(pcm: Samples, sample_rate: int, threshold: float) -> tuple[int, int]:
    """Where sound louder than `threshold` dBFS begins and ends, in samples; (0, 0) if there is none."""
    loud = np.flatnonzero(frame_levels(pcm, sample_rate) > threshold)
    if not len(loud):
        return 0, 0
    size = max(1, samples(_FRAME, sample_rate))
    return int(loud[0]) * size, int(loud[-1] + 1) * size


def levelled(pcm: Samples, sample_rate: int, target: float, max_gain: float) -> Samples:
    """Brought to `target` dBFS of active speech, by `max_gain` dB at most, peaks rounded off, not clipped."""
    level = active_level(pcm, sample_rate)
    if level == SILENCE:
        return pcm
    gain = min(target - level, max_gain)
    return limited((pcm * np.float32(10 ** (gain / 20))).astype(np.float32))


def limited(pcm: Samples) -> Samples:
    """Peaks bent softly below full scale; what lies under the knee is untouched."""
    size = np.abs(pcm)
    if size.max(initial=0.0) <= _KNEE:
        return pcm
    room = _CEILING - _KNEE
    bent = np.sign(pcm) * (_KNEE + room * np.tanh((size - _KNEE) / room))
    return np.where(size > _KNEE, bent, pcm).astype(np.float32)


def faded(pcm: Samples, sample_rate: int, lead: float, tail: float) -> Samples:
    """A copy whose first `lead` and last `tail` seconds fade, so that joints do not click."""
    out = pcm.copy()
    first = min(samples(lead, sample_rate), len(out) // 2)
    last = min(samples(tail, sample_rate), len(out) // 2)
    if first:
        out[:first] *= np.sin(np.linspace(0, np.pi / 2, first, dtype=np.float32)) ** 2
    if last:
        out[len(out) - last :] *= np.cos(np.linspace(0, np.pi / 2, last, dtype=np.float32)) ** 2
    return out


def to_pcm(pcm: Samples) -> Pcm:
    """16-bit samples; full scale clips."""
    return np.clip(np.rint(pcm * 32767), -32768, 32767).astype(np.int16)
