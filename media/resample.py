"""Change of sample rate, in one go or piece by piece."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

from media.frame import Pcm

_QUALITY = "HQ"
_FULL_SCALE = 32767.0


class Resampler:
    """One stream from one rate to another; pieces may have any length and joints do not click.

    The filter looks ahead, so what `push` returns lags a few milliseconds behind; `flush` gives the rest.
    """

    def __init__(self, src: int, dst: int) -> None:
        """Rates in samples per second, both above 0. Raises `ValueError`."""
        if src <= 0 or dst <= 0:
            raise ValueError(f"sample rates must be above 0, got {src} and {dst}")
        self._src = src
        self._dst = dst
        self._stream = self._open()

    def push(self, pcm: Pcm) -> Pcm:
        """Take the next samples; returns those that are ready, possibly none."""
        return self._run(pcm, last=False)

    def flush(self) -> Pcm:
        """End the stream and return what the filter still holds; the next `push` begins a new stream."""
        rest = self._run(np.zeros(0, np.int16), last=True)
        self._stream = self._open()
        return rest

    def _open(self) -> soxr.ResampleStream | None:
        if self._src == self._dst:
            return None
        return soxr.ResampleStream(self._src, self._dst, 1, dtype="float32", quality=_QUALITY)

    def _run(self, pcm: Pcm, *, last: bool) -> Pcm:
        if self._stream is None:
            return pcm
        return _to_pcm(self._stream.resample_chunk(pcm.astype(np.float32), last=last))


def resample(pcm: Pcm, src: int, dst: int) -> Pcm:
    """The whole of `pcm` at another rate; the same input always gives the same samples."""
    if src == dst or not len(pcm):
        return pcm
    return _to_pcm(soxr.resample(pcm.astype(np.float32), src, dst, quality=_QUALITY))


def _to_pcm(samples: npt.NDArray[np.float32]) -> Pcm:
    """Rounded and held within 16 bits: soxr's own 16-bit output would add random dither."""
    return np.clip(np.rint(samples), -_FULL_SCALE - 1, _FULL_SCALE).astype(np.int16)
