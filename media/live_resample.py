"""Change of sample rate for live sound: as many samples out as went in, frame by frame, a few ms late.

`media/resample.py` is better in tone, but hands its samples out in bursts of up to 110 ms, which somebody who
listens to a live stream would have to wait for. This one is a plain windowed-sinc filter (Kaiser window,
60 dB) between rates whose ratio is a small fraction: 8, 16, 24 and 48 kHz.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np
import numpy.typing as npt

from media.frame import Pcm
from media.resample import Resampler

_PASS = 0.85
"""Share of the narrower band that passes undamped; telephony ends at 3.4 of 4 kHz."""
_REACH = 24
"""Samples of the lower rate that the filter looks at, to each side: 3 ms at 8 kHz."""
_SIMPLE = 6
"""Ratios of up to six to something are worth a filter without tricks: all among 8, 16, 24 and 48 kHz."""
_KAISER = 5.65
"""Window parameter for 60 dB in the stop band."""

Filter = npt.NDArray[np.float32]


class LiveResampler:
    """One stream from one rate to another; pieces may have any length and joints do not click."""

    def __init__(self, src: int, dst: int, *, aligned: bool = False) -> None:
        """Rates in samples per second, above 0. Raises `ValueError`.

        `aligned`: the first sample out belongs to the first one in, and the filter's delay shows only in that
        the last samples wait for `flush`. Otherwise every piece gives its full number at once, delayed.
        """
        if src <= 0 or dst <= 0:
            raise ValueError(f"sample rates must be above 0, got {src} and {dst}")
        self._up, self._down = dst // gcd(src, dst), src // gcd(src, dst)
        self._taps = _taps(self._up, self._down)
        self._aligned = aligned
        self._restart()

    def push(self, pcm: Pcm) -> Pcm:
        """Take the next samples; returns those that are ready."""
        if self._up == self._down:
            return pcm
        return self._run(pcm)

    def flush(self) -> Pcm:
        """End the stream and return what the filter still holds; the next `push` begins a new stream."""
        if self._up == self._down:
            return np.zeros(0, np.int16)
        owed = -(-self._taken * self._up // self._down) - self._given if self._aligned else 0
        rest = self._run(np.zeros(2 * _REACH * max(self._down // self._up, 1), np.int16))[:owed]
        self._restart()
        return rest

    def _restart(self) -> None:
        self._history: Filter = np.zeros(len(self._taps) - 1, np.float32)
        self._next = 0
        """Where, in the stuffed samples still to come, the next one out lies."""
        self._skip = len(self._taps) // 2 // self._down if self._aligned else 0
        self._taken = self._given = 0

    def _run(self, pcm: Pcm) -> Pcm:
        stuffed = np.zeros(len(self._history) + len(pcm) * self._up, np.float32)
        stuffed[: len(self._history)] = self._history
        stuffed[len(self._history) :: self._up] = pcm
        new = len(pcm) * self._up
        if not new:
            return np.zeros(0, np.int16)
        self._history = stuffed[new:].copy()
        out = np.convolve(stuffed, self._taps, "valid")[self._next :: self._down]
        self._next += len(out) * self._down - new
        skipped = min(self._skip, len(out))
        self._skip -= skipped
        out = out[skipped:]
        self._taken += len(pcm)
        self._given += len(out)
        return np.clip(np.rint(out), -32768, 32767).astype(np.int16)


def steady(src: int, dst: int) -> LiveResampler | Resampler:
    """For sound that somebody waits for as it comes: without bursts where the rates allow it.

    Raises `ValueError` for rates that are not above 0.
    """
    if src > 0 and dst > 0 and max(src, dst) // gcd(src, dst) <= _SIMPLE:
        return LiveResampler(src, dst, aligned=True)
    return Resampler(src, dst)


@lru_cache
def _taps(up: int, down: int) -> Filter:
    """A low-pass at the stuffed rate, its gain making up for the zeros between the samples."""
    wide = max(up, down)
    reach = _REACH * wide // down * down  # a whole number of samples out, so that `aligned` is exact
    places = np.arange(-reach, reach + 1)
    cutoff = (1 + _PASS) / 2 / wide
    taps = cutoff * np.sinc(cutoff * places) * np.kaiser(len(places), _KAISER)
    scaled: Filter = (taps / taps.sum() * up).astype(np.float32)
    return scaled
