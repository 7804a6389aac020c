"""What every voice detector needs first: a place per leg in the arrays, 8 kHz sound, the noise floor."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from media.frame import frame_samples

Floats: TypeAlias = npt.NDArray[np.float32]
Bools: TypeAlias = npt.NDArray[np.bool_]
Slots: TypeAlias = npt.NDArray[np.intp]

VAD_RATE = 8000
"""Both detectors work at the telephone's rate; wider sound adds nothing to "is this a voice"."""
VAD_SAMPLES = frame_samples(VAD_RATE)
BLOCKS = 2
"""Level is measured per half frame: short enough to tell a click from a syllable."""
SILENT_DB = -96.0
"""The level given to digital silence, dBFS."""


class LegSlots:
    """Gives each leg a small number, so that the state of many legs lies side by side in arrays."""

    def __init__(self) -> None:
        self._slots: dict[int, int] = {}
        self._free: list[int] = []
        self._used = 0
        self._forgotten: deque[int] = deque()

    @property
    def needed(self) -> int:
        """Rows that state arrays must have."""
        return self._used

    def __len__(self) -> int:
        return len(self._slots)

    def take(self, legs: list[int]) -> tuple[Slots, list[int]]:
        """The legs' slots, and those of them that were just given out and hold a stranger's state."""
        while self._forgotten:
            slot = self._slots.pop(self._forgotten.popleft(), None)
            if slot is not None:
                self._free.append(slot)
        fresh: list[int] = []
        slots = np.empty(len(legs), np.intp)
        for row, leg in enumerate(legs):
            slot = self._slots.get(leg)
            if slot is None:
                slot = self._give(leg)
                fresh.append(slot)
            slots[row] = slot
        return slots, fresh

    def forget(self, leg: int) -> None:
        """Give the leg's slot back before the next `take`. Safe from any thread."""
        self._forgotten.append(leg)

    def _give(self, leg: int) -> int:
        if self._free:
            slot = self._free.pop()
        else:
            slot = self._used
            self._used += 1
        self._slots[leg] = slot
        return slot


def grown(array: Floats, rows: int, fill: float = 0.0) -> Floats:
    """The array with at least `rows` rows, doubled so that growing stays rare."""
    if len(array) >= rows:
        return array
    bigger = np.full((max(rows, 2 * len(array)), *array.shape[1:]), fill, np.float32)
    bigger[: len(array)] = array
    return bigger


class Halver:
    """Makes 8 kHz frames of 16 kHz ones, continuously per slot."""

    TAPS = 31

    def __init__(self) -> None:
        n = np.arange(self.TAPS) - self.TAPS // 2
        taps = 0.5 * np.sinc(n / 2) * np.hamming(self.TAPS)
        self._taps: Floats = (taps / taps.sum()).astype(np.float32)
        self._tails: Floats = np.zeros((0, self.TAPS - 1), np.float32)

    def reset(self, slots: list[int], needed: int) -> None:
        """Start the slots from silence."""
        self._tails = grown(self._tails, needed)
        self._tails[slots] = 0.0

    def halve(self, slots: Slots, wide: Floats) -> Floats:
        """(n, 320) at 16 kHz in, (n, 160) at 8 kHz out; 1 ms of delay."""
        whole = np.concatenate((self._tails[slots], wide), axis=1)
        self._tails[slots] = whole[:, -(self.TAPS - 1) :]
        windows = np.lib.stride_tricks.sliding_window_view(whole, self.TAPS, axis=1)[:, ::2]
        return np.ascontiguousarray(windows @ self._taps)


class LevelGate:
    """Follows each slot's noise floor and says which frames stand out of it."""

    RISE_DB = 0.12
    """The floor's rise in a frame: 6 dB a second, so that hum and noise are learnt but words are not."""
    LOWEST_DB = -66.0
    """A floor below this is a codec's idle noise and tells nothing."""
    FIRST_DB = -60.0
    STIR_DB = 6.0
    """A frame so much louder than usual stirs: steady noise hardly ever is, the faintest syllable is."""
    FOLLOW = 0.05
    FALL_DB = -1.0

    def __init__(self, snr_db: float, loud_dbfs: float) -> None:
        self._snr_db = snr_db
        self._loud_dbfs = loud_dbfs
        self._floor: Floats = np.zeros(0, np.float32)
        self._usual: Floats = np.zeros(0, np.float32)
        self._last_over: Floats = np.zeros(0, np.float32)

    def reset(self, slots: list[int], needed: int) -> None:
        """Start the slots with a quiet line's floor."""
        self._floor = grown(self._floor, needed)
        self._usual = grown(self._usual, needed)
        self._last_over = grown(self._last_over, needed)
        self._floor[slots] = self.FIRST_DB
        self._usual[slots] = self.FIRST_DB
        self._last_over[slots] = 0.0

    def judge(self, slots: Slots, frames: Floats) -> tuple[Bools, Bools]:
        """Per row: stands out of the noise for at least two half frames on end; stirs at all."""
        blocks = frames.reshape(len(frames), BLOCKS, -1)
        power = np.einsum("nbs,nbs->nb", blocks, blocks) / blocks.shape[2]
        level = _decibels(power)
        floor = self._floor[slots]
        over = level > np.maximum(floor + self._snr_db, self._loud_dbfs)[:, None]
        standing = over[:, 0] & (over[:, 1] | (self._last_over[slots] > 0))
        self._last_over[slots] = over[:, 1]
        lowest = level.min(axis=1)
        self._floor[slots] = np.maximum(np.minimum(lowest, floor + self.RISE_DB), self.LOWEST_DB)
        return standing, self._stirring(slots, _decibels(power.mean(axis=1)))

    def _stirring(self, slots: Slots, level: Floats) -> Bools:
        """Rows louder than the line's usual noise, whose level is followed quicker down than up."""
        usual = self._usual[slots]
        change = np.clip(self.FOLLOW * (level - usual), self.FALL_DB, self.RISE_DB)
        self._usual[slots] = np.maximum(usual + change, self.LOWEST_DB)
        return level > usual + self.STIR_DB


def _decibels(power: Floats) -> Floats:
    audible = np.maximum(power, np.float32(10 ** (SILENT_DB / 10)))
    return (10.0 * np.log10(audible)).astype(np.float32)
