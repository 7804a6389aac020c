"""The second opinion: is the sound periodic as only a voice's is?

Silero's network waits for an open vowel: it believes an opening nasal, an "r" or a first word spoken low only
100 to 170 ms late. Such sounds have a pitch from their first period on. Tones have one as well, so a pitch
alone is no proof: it only turns the network's doubt into belief, never its denial.
"""

from __future__ import annotations

import numpy as np

from media.vad_input import VAD_RATE, VAD_SAMPLES, Bools, Floats, Slots, grown

LOWEST_HZ, HIGHEST_HZ = 80, 400
"""Pitch of voices, children's and low men's included."""
FFT = 512
"""Holds the window and the longest lag without wrapping round."""
PEAK_BINS = 4
"""A tone under the Hann window spreads so many bins to each side."""


class PitchConfirmer:
    """Counts, per slot, frames on end that have a clear pitch."""

    CLEAR = 0.8
    """Likeness of the sound with itself one period later, 0 to 1, from which it is periodic. Fricatives,
    breath and coughs stay below 0.6, voiced sounds are above 0.8 from their second period on."""
    RICH = 0.03
    """Share of the energy outside the two strongest tones that a voice has at least: dial tones, keys and
    ringing are nothing but two tones, whose remainder is the line's noise."""
    FRAMES = 2
    """So many periodic frames on end are a voice."""

    def __init__(self) -> None:
        self._last: Floats = np.zeros((0, VAD_SAMPLES), np.float32)
        self._periodic: Floats = np.zeros(0, np.float32)

    def reset(self, slots: list[int], needed: int) -> None:
        """Start the slots from silence."""
        self._last = grown(self._last, needed)
        self._periodic = grown(self._periodic, needed)
        self._last[slots] = 0.0
        self._periodic[slots] = 0.0

    def judge(self, slots: Slots, frames: Floats, asked: Bools) -> Bools:
        """Take one 8 kHz frame per slot; which of the rows asked about have been periodic for long enough."""
        rows = np.flatnonzero(asked)
        periodic = np.zeros(len(slots), np.bool_)
        if len(rows):
            windows = np.concatenate((self._last[slots[rows]], frames[rows]), axis=1)
            periodic[rows] = (periodicity(windows) >= self.CLEAR) & (richness(windows) >= self.RICH)
        self._last[slots] = frames
        counts = np.where(periodic, self._periodic[slots] + 1, 0)
        self._periodic[slots] = counts
        long_enough: Bools = counts >= self.FRAMES
        return long_enough


def periodicity(windows: Floats) -> Floats:
    """Per row of (n, 320) samples at 8 kHz, 0..1: the best normalised autocorrelation at a voice's periods.

    Both halves of each product are normalised by their own energy, so that a sound that swells or fades is
    judged as one that does not (the cross-correlation of Talkin's RAPT, 1995).
    """
    shortest, longest = VAD_RATE // HIGHEST_HZ, VAD_RATE // LOWEST_HZ
    centred = windows - windows.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, FFT, axis=1)
    products = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, FFT, axis=1)[:, shortest : longest + 1]
    energy = np.concatenate((np.zeros((len(windows), 1)), np.cumsum(centred**2, axis=1)), axis=1)
    lags = np.arange(shortest, longest + 1)
    heads = energy[:, windows.shape[1] - lags]
    tails = energy[:, -1:] - energy[:, lags]
    likeness = products / np.sqrt(np.maximum(heads * tails, 1e-12))
    best: Floats = likeness.max(axis=1).astype(np.float32)
    return best


def richness(windows: Floats) -> Floats:
    """Per row of (n, 320) samples, 0..1: the share of the energy that is not in its two strongest tones."""
    shaped = (windows - windows.mean(axis=1, keepdims=True)) * _HANN
    spectrum = np.fft.rfft(shaped, FFT, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    whole = np.maximum(power.sum(axis=1), 1e-12)
    bins = np.arange(power.shape[1])
    for _ in range(2):
        peaks = power.argmax(axis=1)
        power = np.where(np.abs(bins - peaks[:, None]) <= PEAK_BINS, 0.0, power)
    left: Floats = (power.sum(axis=1) / whole).astype(np.float32)
    return left


_HANN = np.hanning(2 * VAD_SAMPLES).astype(np.float32)
