"""Keys pressed on a telephone: hearing them in the audio and gathering them into numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeGuard

import numpy as np
import numpy.typing as npt

from media.frame import Pcm
from media.tones import DTMF_COLUMNS_HZ, DTMF_KEYPAD, DTMF_ROWS_HZ, FULL_SCALE, Goertzel

DIGITS = "0123456789*#ABCD"
"""Every key there is."""

_HOP_MS = 10
_BLOCK_MS = 20


def is_digit(value: object) -> TypeGuard[str]:
    """True for exactly one of the sixteen keys, letters in upper case."""
    return isinstance(value, str) and len(value) == 1 and value in DIGITS


def parse_digits(text: str) -> str:
    """Keys out of text such as "12 34#" or "12-34a": letters raised, spaces, dashes and dots dropped.

    Raises `ValueError` naming the first character that is no key.
    """
    keys = [c.upper() for c in text if c not in " -."]
    for key in keys:
        if not is_digit(key):
            raise ValueError(f"{key!r} is not a telephone key; use 0-9, *, #, A-D")
    return "".join(keys)


@dataclass(frozen=True, slots=True)
class DtmfSettings:
    """How sure the detector must be. Levels in dB; defaults follow ITU-T Q.24 with room for voices."""

    level: float = -38.0
    """Weakest sum of the two tones that counts, dBFS RMS; -60 to 0."""
    twist: float = 8.0
    """How much stronger the low tone may be than the high one, or the reverse; 0 to 20."""
    margin: float = 4.0
    """How far each tone must stand above the next strongest of its group; 2 to 30."""
    purity: float = 0.60
    """Share of all sound that must lie in the two tones, 0.3 to 1: what tells a key from a voice."""
    overtone: float = -10.0
    """Strongest second harmonic allowed, relative to its tone: voices have them, keys do not; -60 to 0."""
    on_ms: int = 40
    """Shortest press in milliseconds, a multiple of 10; 20 to 200."""
    off_ms: int = 30
    """Silence that ends a press, a multiple of 10; 10 to 200. Shorter dropouts do not repeat the digit."""

    def __post_init__(self) -> None:
        limits = {
            "level": (-60, 0), "twist": (0, 20), "margin": (2, 30), "purity": (0.3, 1),
            "overtone": (-60, 0), "on_ms": (20, 200), "off_ms": (10, 200),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"dtmf.{name} is {getattr(self, name)}: choose a value from {low} to {high}")


class DtmfDetector:
    """Hears keys in one leg's audio. Pieces of any length go in; each press comes out once, as it begins."""

    def __init__(self, sample_rate: int, settings: DtmfSettings | None = None) -> None:
        self._settings = settings or DtmfSettings()
        self._hop = sample_rate * _HOP_MS // 1000
        self._block = sample_rate * _BLOCK_MS // 1000
        tones = (*DTMF_ROWS_HZ, *DTMF_COLUMNS_HZ)
        self._goertzel = Goertzel((*tones, *(2 * hz for hz in tones)), self._block, sample_rate)
        self._window: Pcm = np.zeros(0, np.int16)
        self._candidate = ""
        self._seen = 0
        self._missed = 0
        self._pressed = ""

    def push(self, pcm: Pcm) -> str:
        """Listen to the next samples; returns the keys whose press was recognised in them, usually ""."""
        self._window = np.concatenate([self._window, pcm])
        found = ""
        while len(self._window) >= self._block:
            found += self._step(self._judge(self._window[: self._block]))
            self._window = self._window[self._hop :]
        return found

    def _step(self, digit: str) -> str:
        """Debounce the judgement of one block."""
        self._seen = self._seen + 1 if digit and digit == self._candidate else int(bool(digit))
        self._candidate = digit
        if digit and digit == self._pressed:
            self._missed = 0
            return ""
        self._missed += 1
        if self._missed * _HOP_MS >= self._settings.off_ms:
            self._pressed = ""
        if digit and (self._seen + 1) * _HOP_MS >= self._settings.on_ms:
            self._pressed = digit
            self._missed = 0
            return digit
        return ""

    def _judge(self, block: Pcm) -> str:
        """The key that sounds throughout this block, or ""."""
        limits = self._settings
        total = float(np.mean((block.astype(np.float32) / FULL_SCALE) ** 2))
        if _db(total) < limits.level:
            return ""
        powers = self._goertzel.powers(block)
        row, column = int(powers[:4].argmax()), int(powers[4:8].argmax())
        low, high = float(powers[row]), float(powers[4 + column])
        if low + high < limits.purity * total or abs(_db(low) - _db(high)) > limits.twist:
            return ""
        if min(_lead(powers[:4]), _lead(powers[4:8])) < limits.margin:
            return ""
        overtones = (_db(float(powers[8 + row])) - _db(low), _db(float(powers[12 + column])) - _db(high))
        if max(overtones) > limits.overtone:
            return ""
        return DTMF_KEYPAD[row][column]


def _db(power: float) -> float:
    return 10 * float(np.log10(power + 1e-12))


def _lead(group: npt.NDArray[np.float32]) -> float:
    """How far the strongest of a group stands above the second, in dB."""
    second, first = np.sort(group)[-2:]
    return _db(float(first)) - _db(float(second))


class CollectEnd(StrEnum):
    """Why a collection of digits is over."""

    COMPLETE = "complete"
    """As many as asked for."""
    TERMINATED = "terminated"
    """The terminator was pressed; it is not among the digits."""
    TIMED_OUT = "timed_out"
    """Nothing more came in time; `digits` may be empty."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What a caller keyed in, whole."""

    digits: str
    end: CollectEnd


@dataclass(frozen=True, slots=True)
class CollectSettings:
    """How many digits to wait for, and how long. Times in seconds."""

    max_digits: int = 32
    """Ends the collection as soon as this many came; 1 to 128."""
    terminator: str = "#"
    """Key that ends the collection early, or "" for none."""
    first_digit: float = 5.0
    """How long to wait for the first key; above 0."""
    inter_digit: float = 3.0
    """How long to wait for each further key; above 0."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_digits <= 128:
            raise ValueError(f"max_digits is {self.max_digits}: choose a value from 1 to 128")
        if self.terminator and not is_digit(self.terminator):
            raise ValueError(f"terminator is {self.terminator!r}: use one of {DIGITS}, or nothing")
        for name, value in (("first_digit", self.first_digit), ("inter_digit", self.inter_digit)):
            if value <= 0:
                raise ValueError(f"{name} is {value}: choose a time above 0 seconds")


class DigitCollector:
    """Gathers keys until there are enough, the terminator comes or the caller falls silent. Pure."""

    def __init__(self, settings: CollectSettings, now: float) -> None:
        self._settings = settings
        self._digits = ""
        self._deadline: float | None = now + settings.first_digit

    @property
    def digits(self) -> str:
        """What was keyed in so far."""
        return self._digits

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is due; None once the collection is over."""
        return self._deadline

    def handle(self, digit: str, now: float) -> Collected | None:
        """Take one key; returns the collection when this key ended it. Keys after the end are ignored.

        Raises `ValueError` for what is no key.
        """
        if not is_digit(digit):
            raise ValueError(f"{digit!r} is not a telephone key")
        if self._deadline is None:
            return None
        if digit == self._settings.terminator:
            return self._finish(CollectEnd.TERMINATED)
        self._digits += digit
        if len(self._digits) >= self._settings.max_digits:
            return self._finish(CollectEnd.COMPLETE)
        self._deadline = now + self._settings.inter_digit
        return None

    def handle_timeout(self, now: float) -> Collected | None:
        """The caller fell silent; returns the collection when its time is really over."""
        if self._deadline is None or now < self._deadline:
            return None
        return self._finish(CollectEnd.TIMED_OUT)

    def _finish(self, end: CollectEnd) -> Collected:
        self._deadline = None
        return Collected(self._digits, end)
