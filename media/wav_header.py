"""Reads the header of a WAV file that comes in pieces, as streaming clients send it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

LONGEST = 65536
"""Octets of header, unknown chunks included, that are read before we give up."""
_TAG_SIZE = 8
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
"""What writers put as the size of the sound while they do not know it."""


class BadHeader(ValueError):
    """It begins as a WAV file but is none that can be read."""


@dataclass(frozen=True, slots=True)
class WavHeader:
    """What the file says of its sound."""

    format: int
    """1: linear, 6: A-law, 7: mu-law (RFC 2361)."""
    channels: int
    sample_rate: int
    bits: int
    begins: int
    """Octets before the first sample."""
    size: int | None
    """Octets of sound; None when the writer did not know."""


def read_header(data: bytes) -> WavHeader | None:
    """The header at the beginning of `data`, or None while more of it must come. Raises `BadHeader`."""
    if len(data) >= 12 and data[8:12] != b"WAVE":
        raise BadHeader("a RIFF file, but not a WAV file")
    shape: tuple[int, int, int, int] | None = None
    place = 12
    while len(data) >= place + _TAG_SIZE:
        tag, size = struct.unpack_from("<4sI", data, place)
        place += _TAG_SIZE
        if tag == b"data":
            if shape is None:
                raise BadHeader("a WAV file without a format")
            return WavHeader(*shape, begins=place, size=None if size in _UNKNOWN_SIZES else size)
        if place + size > LONGEST:
            raise BadHeader("a WAV file whose sound does not begin")
        if tag == b"fmt ":
            if size < 16:
                raise BadHeader("a WAV file with half a format")
            if len(data) < place + size:
                return None
            shape = _shape(data, place, size)
        place += size + size % 2
    return None


def _shape(data: bytes, place: int, size: int) -> tuple[int, int, int, int]:
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", data, place)
    if kind == 0xFFFE and size >= 26:  # WAVE_FORMAT_EXTENSIBLE: the real kind opens the sub-format
        (kind,) = struct.unpack_from("<H", data, place + 24)
    return kind, channels, rate, bits
