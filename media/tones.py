"""Tones that telephones make, and an ear for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from media.frame import Pcm, samples

FULL_SCALE = 32767
RINGBACK_HZ = (440.0, 480.0)
"""North American ringback (ITU-T E.180, Supplement 2): two seconds of it, then four of silence."""
RINGBACK_ON = 2.0
RINGBACK_OFF = 4.0
DTMF_ROWS_HZ = (697.0, 770.0, 852.0, 941.0)
"""Low group of ITU-T Q.23, one frequency per row of the keypad."""
DTMF_COLUMNS_HZ = (1209.0, 1336.0, 1477.0, 1633.0)
"""High group of ITU-T Q.23, one frequency per column."""
DTMF_KEYPAD = ("123A", "456B", "789C", "*0#D")
_FADE = 0.004


def tone(frequencies: Sequence[float], seconds: float, sample_rate: int, level: float = -20.0) -> Pcm:
    """Sines of equal strength sounding together; `level` is the sum's RMS in dBFS.

    Ends are faded over 4 ms so that nothing clicks. A sample beyond 16 bits is clipped.
    """
    time = np.arange(samples(seconds, sample_rate)) / sample_rate
    wave = sum((np.sin(2 * np.pi * hz * time) for hz in frequencies), np.zeros(len(time)))
    amplitude = FULL_SCALE * 10 ** (level / 20) * np.sqrt(2 / max(len(frequencies), 1))
    return _pcm(_faded(wave, sample_rate) * amplitude)


def beep(sample_rate: int, seconds: float = 0.2, hz: float = 1000.0, level: float = -20.0) -> Pcm:
    """The one short tone after which callers speak."""
    return tone((hz,), seconds, sample_rate, level)


def ringback(sample_rate: int, level: float = -22.0) -> Pcm:
    """One cycle of ringback, six seconds; play it again and again."""
    sounding = tone(RINGBACK_HZ, RINGBACK_ON, sample_rate, level)
    return np.concatenate([sounding, silence(RINGBACK_OFF, sample_rate)])


def silence(seconds: float, sample_rate: int) -> Pcm:
    """Samples of value 0."""
    return np.zeros(samples(seconds, sample_rate), np.int16)


def comfort_noise(seconds: float, sample_rate: int, level: float = -65.0, seed: int = 0) -> Pcm:
    """White noise at `level` dBFS RMS; the same seed gives the same noise."""
    noise = np.random.default_rng(seed).standard_normal(samples(seconds, sample_rate))
    return _pcm(noise * FULL_SCALE * 10 ** (level / 20))


def dtmf(digit: str, sample_rate: int, seconds: float = 0.1, level: float = -10.0) -> Pcm:
    """The two tones of one key at `level` dBFS RMS. Raises `ValueError` for anything but 0-9 * # A-D."""
    for row, keys in zip(DTMF_ROWS_HZ, DTMF_KEYPAD, strict=True):
        if len(digit) == 1 and digit in keys:
            return tone((row, DTMF_COLUMNS_HZ[keys.index(digit)]), seconds, sample_rate, level)
    raise ValueError(f"no such key: {digit!r}; use one of 0-9, *, #, A-D")


class Goertzel:
    """Measures the strength of chosen frequencies in blocks of one fixed length."""

    def __init__(self, frequencies: Sequence[float], block: int, sample_rate: int) -> None:
        phase = -2j * np.pi * np.outer(frequencies, np.arange(block)) / sample_rate
        self._basis: npt.NDArray[np.complex64] = (np.exp(phase) * np.sqrt(2) / block).astype(np.complex64)
        self._block = block

    def powers(self, pcm: Pcm) -> npt.NDArray[np.float32]:
        """Mean square of each frequency's share, full scale = 1. `pcm` must hold one whole block."""
        if len(pcm) != self._block:
            raise ValueError(f"need a block of {self._block} samples, got {len(pcm)}")
        amplitude = self._basis @ (pcm.astype(np.float32) / FULL_SCALE)
        return (amplitude.real**2 + amplitude.imag**2).astype(np.float32)


def tone_level(pcm: Pcm, hz: float, sample_rate: int) -> float:
    """RMS level of one frequency in `pcm`, in dBFS; -inf when there are no samples or nothing of it."""
    if not len(pcm):
        return float("-inf")
    power = float(Goertzel((hz,), len(pcm), sample_rate).powers(pcm)[0])
    return 10 * float(np.log10(power)) if power > 0 else float("-inf")


def rms_level(pcm: Pcm) -> float:
    """RMS of all samples in dBFS; -inf for silence."""
    power = float(np.mean((pcm.astype(np.float64) / FULL_SCALE) ** 2)) if len(pcm) else 0.0
    return 10 * float(np.log10(power)) if power > 0 else float("-inf")


def _faded(wave: npt.NDArray[np.float64], sample_rate: int) -> npt.NDArray[np.float64]:
    edge = min(samples(_FADE, sample_rate), len(wave) // 2)
    if edge:
        ramp = np.linspace(0.0, 1.0, edge)
        wave[:edge] *= ramp
        wave[-edge:] *= ramp[::-1]
    return wave


def _pcm(wave: npt.NDArray[np.float64]) -> Pcm:
    return np.clip(np.rint(wave), -FULL_SCALE - 1, FULL_SCALE).astype(np.int16)
