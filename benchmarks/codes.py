"""Sound that carries a number, so that a packet on the wire can be matched with the write that made it."""

from __future__ import annotations

import numpy as np

from callers.g711 import Pcm, ulaw_decode

_MARK = bytes([0x0B, 0x8B, 0x0D, 0x8D, 0x0B, 0x8D])
"""Loud codes in an order that neither speech nor a tone has; G.711 carries every code unchanged."""
_DIGITS = bytes(range(0x10, 0x20))
"""One code for each of sixteen digits."""
_DIGIT_COUNT = 6
_SAMPLES = 800


def coded_burst(number: int) -> Pcm:
    """A tenth of a second of sound that says `number` (0 to 16**6 - 1) in its first samples."""
    digits = bytes(_DIGITS[number >> (4 * place) & 15] for place in range(_DIGIT_COUNT))
    head = np.frombuffer(_MARK + digits, dtype=np.uint8)
    phase = np.arange(_SAMPLES - len(head)) * (2 * np.pi * 500 / 8000)
    return np.concatenate([ulaw_decode(head), (6000 * np.sin(phase)).astype(np.int16)])


def read_code(payload: bytes) -> int | None:
    """The number that begins in this packet, or None."""
    at = payload.find(_MARK)
    digits = payload[at + len(_MARK) : at + len(_MARK) + _DIGIT_COUNT]
    if at < 0 or len(digits) < _DIGIT_COUNT or any(digit not in _DIGITS for digit in digits):
        return None
    return sum((digit - _DIGITS[0]) << (4 * place) for place, digit in enumerate(digits))
