"""RTP as a call needs it (RFC 3550 section 5.1), and the keys in it (RFC 4733). Pure."""

from __future__ import annotations

import struct
from typing import NamedTuple

_HEADER = struct.Struct("!BBHII")
_EVENTS = "0123456789*#ABCD"
"""Digits by their event codes (RFC 4733 section 3.2)."""


class RtpPacket(NamedTuple):
    """One packet's parts."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def read_rtp(data: bytes) -> RtpPacket | None:
    """The packet, or None for what is none: another version, a header or a padding that overruns it."""
    if len(data) < 12:
        return None
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != 2:
        return None
    start, end = 12 + 4 * (first & 15), len(data)
    if first & 0x10:
        if start + 4 > end:
            return None
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    if first & 0x20:
        end -= data[-1] or end
    if start > end:
        return None
    return RtpPacket(second & 127, second > 127, sequence, timestamp, ssrc, data[start:end])


def write_rtp(
    payload_type: int, marker: bool, sequence: int, timestamp: int, ssrc: int, payload: bytes
) -> bytes:
    """The packet's octets; sequence and timestamp are taken modulo their widths."""
    second = payload_type | (128 if marker else 0)
    return _HEADER.pack(0x80, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


def is_rtcp(data: bytes) -> bool:
    """Whether a packet on a shared port is RTCP (RFC 5761 section 4)."""
    return len(data) >= 2 and 192 <= data[1] <= 223


class Unwrap:
    """Numbers that wrap around, as numbers that do not: the nearest to the last one."""

    def __init__(self, bits: int) -> None:
        self._modulus = 1 << bits
        self._last: int | None = None

    def __call__(self, value: int) -> int:
        if self._last is None:
            self._last = value
            return value
        step = (value - self._last) % self._modulus
        if step >= self._modulus // 2:
            step -= self._modulus
        whole = self._last + step
        self._last = max(self._last, whole)
        return whole


class KeyReader:
    """Telephone events to keys: each once, at its first packet, however its packets repeat or get lost."""

    def __init__(self) -> None:
        self._told: int | None = None

    def push(self, packet: RtpPacket) -> str:
        """The key that this packet is the first to tell of, else ""."""
        if len(packet.payload) < 4 or packet.timestamp == self._told:
            return ""
        self._told = packet.timestamp
        event = packet.payload[0]
        return _EVENTS[event] if event < len(_EVENTS) else ""
