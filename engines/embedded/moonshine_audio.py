"""The audio of an open segment: grows by frames, is read by decode threads, is cut where it is quietest."""

from __future__ import annotations

import numpy as np

from media.frame import FRAME_MS, Pcm, frame_samples

_START_SECONDS = 4
_QUIET_FRAMES = 10
"""A cut wants the quietest 200 ms, so that it falls between words."""
_SOFT_DB = 25.0
"""Sound this far below the loudest is no speech worth another decode."""
_LINE_FRAMES, _LOUDER_DB, _CLEAR_DB = 5, 6.0, 10.0
"""Nor is what hardly exceeds the last 100 ms before the pause, if those were clearly softer than speech."""
_FAINT_DB = -55.0
"""Nor is anything below this level (dBFS)."""


class SegmentAudio:
    """Samples that are only ever added, so that a view given to a thread stays true."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._samples: Pcm = np.empty(_START_SECONDS * sample_rate, np.int16)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def seconds(self) -> float:
        return self._size / self.sample_rate

    def append(self, pcm: Pcm) -> None:
        """Add samples at the end."""
        wanted = self._size + len(pcm)
        if wanted > len(self._samples):
            # A new array: threads may still read the old one.
            grown = np.empty(max(wanted, 2 * len(self._samples)), np.int16)
            grown[: self._size] = self._samples[: self._size]
            self._samples = grown
        self._samples[self._size : wanted] = pcm
        self._size = wanted

    def view(self, start: int = 0, stop: int | None = None) -> Pcm:
        """The samples between two places, not copied."""
        return self._samples[start : self._size if stop is None else min(stop, self._size)]

    def split(self, earliest: float) -> tuple[Pcm, SegmentAudio]:
        """Cut at the quietest place after `earliest` seconds: what lies before it, and the rest."""
        hop = frame_samples(self.sample_rate)
        energy = _frame_energy(self.view(), hop)
        smooth = np.convolve(energy, np.ones(_QUIET_FRAMES), "valid")
        first = min(int(earliest * 1000 / FRAME_MS), len(smooth) - 1)
        cut = (first + int(smooth[first:].argmin()) + _QUIET_FRAMES // 2) * hop
        rest = SegmentAudio(self.sample_rate)
        rest.append(self.view(cut))
        return self.view(0, cut), rest

    def quiet_since(self, place: int) -> bool:
        """Has there been nothing but silence from that sample on?"""
        hop = frame_samples(self.sample_rate)
        tail = _frame_energy(self.view(place), hop)
        if not len(tail):
            return True
        before = _frame_energy(self.view(0, place), hop)
        speech = _decibels(float(before.max(initial=0.0)))
        line = _decibels(float(np.median(before[-_LINE_FRAMES:]))) if len(before) else _FAINT_DB
        allowed = max(_FAINT_DB, speech - _SOFT_DB)
        if line < speech - _CLEAR_DB:
            allowed = max(allowed, line + _LOUDER_DB)
        return _decibels(float(tail.max())) < allowed


def _frame_energy(pcm: Pcm, hop: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    whole = pcm[: len(pcm) // hop * hop].astype(np.float64) / 32768.0
    energy: np.ndarray[tuple[int], np.dtype[np.float64]] = np.square(whole).reshape(-1, hop).mean(axis=1)
    return energy


def _decibels(power: float) -> float:
    return 10.0 * float(np.log10(power + 1e-12))
