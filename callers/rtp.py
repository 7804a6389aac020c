"""RTP streams (RFC 3550) as they crossed the wire: gaps, loss, order, and what could be heard in them."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from callers.g711 import Pcm, ulaw_decode
from callers.pcap import Datagram, Endpoint
from callers.speech import RATE, levels_dbfs

Int64s = npt.NDArray[np.int64]

PCMU = 0
AUDIBLE_DBFS = -45.0
"""A packet louder than this in any 5 ms of it is heard; line noise of a good line lies below."""

_NS = 1_000_000_000


@dataclass(frozen=True)
class RtpStream:
    """One sender's packets in order of arrival."""

    source: Endpoint
    destination: Endpoint
    ssrc: int
    arrived_ns: Int64s
    sequence: Int64s
    """Extended past 16 bits."""
    timestamp: Int64s
    """Extended past 32 bits."""
    payload_type: npt.NDArray[np.uint8]
    payload: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.arrived_ns)

    def gaps_ms(self) -> npt.NDArray[np.float64]:
        """Milliseconds between packets that follow each other on the wire."""
        return np.diff(self.arrived_ns) / 1e6

    def lost(self) -> int:
        """Sequence numbers between the first and the last that never came."""
        distinct = np.unique(self.sequence)
        return int(distinct[-1] - distinct[0] + 1 - len(distinct)) if len(distinct) else 0

    def reordered(self) -> int:
        """Packets that came after one with a higher number."""
        if len(self) < 2:
            return 0
        return int(np.count_nonzero(self.sequence[1:] < np.maximum.accumulate(self.sequence)[:-1]))

    def between(self, start_ns: int, end_ns: int) -> RtpStream:
        """The packets that arrived in the span."""
        keep = np.flatnonzero((self.arrived_ns >= start_ns) & (self.arrived_ns < end_ns))
        return RtpStream(
            self.source,
            self.destination,
            self.ssrc,
            self.arrived_ns[keep],
            self.sequence[keep],
            self.timestamp[keep],
            self.payload_type[keep],
            tuple(self.payload[int(index)] for index in keep),
        )

    @cached_property
    def sound(self) -> Sound:
        """What its µ-law packets say, on one time line."""
        return Sound.of(self)

    def audible_packets(self) -> npt.NDArray[np.bool_]:
        """Which packets can be heard."""
        return np.array([_audible(payload) for payload in self.payload], dtype=np.bool_)

    def first_audible_ns(self, after_ns: int = 0) -> int | None:
        """Arrival of the first packet at or past a moment that can be heard."""
        for index in np.flatnonzero(self.arrived_ns >= after_ns):
            if _audible(self.payload[int(index)]):
                return int(self.arrived_ns[index])
        return None


@dataclass(frozen=True)
class Sound:
    """A stream's samples by RTP timestamp; what never came is silence."""

    pcm: Pcm
    offset: Int64s
    """Per packet: index of its first sample in `pcm`, rising."""
    length: Int64s
    arrived_ns: Int64s

    @classmethod
    def of(cls, stream: RtpStream) -> Sound:
        order = np.argsort(stream.timestamp, kind="stable")
        keep = [int(i) for i in order if stream.payload_type[i] == PCMU and stream.payload[int(i)]]
        if not keep:
            empty = np.zeros(0, dtype=np.int64)
            return cls(np.zeros(0, dtype=np.int16), empty, empty, empty)
        offset = stream.timestamp[keep] - stream.timestamp[keep[0]]
        length = np.array([len(stream.payload[i]) for i in keep], dtype=np.int64)
        pcm = np.zeros(int((offset + length).max()), dtype=np.int16)
        for start, index in zip(offset, keep, strict=True):
            codes = np.frombuffer(stream.payload[index], dtype=np.uint8)
            pcm[start : start + len(codes)] = ulaw_decode(codes)
        return cls(pcm, offset, length, stream.arrived_ns[keep])

    def packet_of(self, sample: int) -> int:
        """Index of the packet that carries a sample, or of the one before it."""
        return max(0, int(np.searchsorted(self.offset, sample, side="right")) - 1)

    def packet_ns(self, sample: int) -> int:
        """When the packet with this sample was on the wire."""
        return int(self.arrived_ns[self.packet_of(sample)])

    def spoken_ns(self, sample: int) -> int:
        """When the sample was spoken: a packet leaves as soon as its last sample is taken."""
        packet = self.packet_of(sample)
        after = int(self.offset[packet] + self.length[packet]) - sample
        return int(self.arrived_ns[packet]) - after * _NS // RATE

    def find(self, pattern: Pcm) -> int | None:
        """Where a piece of known sound begins, bit by bit; None when it is not there."""
        if len(pattern) > len(self.pcm):
            return None
        wanted, hay = pattern.astype("<i2").tobytes(), self.pcm.astype("<i2").tobytes()
        at = hay.find(wanted)
        while at >= 0 and at % 2:
            at = hay.find(wanted, at + 1)
        return None if at < 0 else at // 2


def streams(packets: Iterable[Datagram]) -> list[RtpStream]:
    """The RTP streams among datagrams, by (source, destination, SSRC), in order of first arrival."""
    grouped: dict[tuple[Endpoint, Endpoint, int], list[tuple[int, int, int, int, bytes]]] = defaultdict(list)
    for packet in packets:
        parsed = parse(packet.payload)
        if parsed is not None:
            payload_type, sequence, timestamp, ssrc, payload = parsed
            key = (packet.source, packet.destination, ssrc)
            grouped[key].append((packet.at_ns, sequence, timestamp, payload_type, payload))
    return [_stream(key, rows) for key, rows in grouped.items()]


def parse(data: bytes) -> tuple[int, int, int, int, bytes] | None:
    """Type, sequence, timestamp, SSRC, payload; None for no RTP (RFC 3550 §5.1, RFC 5761 §4)."""
    if len(data) < 12 or data[0] >> 6 != 2 or 192 <= data[1] <= 223:
        return None
    sequence, timestamp, ssrc = struct.unpack_from(">HII", data, 2)
    start = 12 + 4 * (data[0] & 15)
    if data[0] & 0x10:
        if len(data) < start + 4:
            return None
        start += 4 + 4 * struct.unpack_from(">H", data, start + 2)[0]
    end = len(data) - (data[-1] if data[0] & 0x20 else 0)
    if start > end:
        return None
    return data[1] & 0x7F, sequence, timestamp, ssrc, data[start:end]


def _stream(key: tuple[Endpoint, Endpoint, int], rows: list[tuple[int, int, int, int, bytes]]) -> RtpStream:
    arrived, sequence, timestamp, payload_type, payload = zip(*rows, strict=True)
    return RtpStream(
        *key,
        np.array(arrived, dtype=np.int64),
        _extend(np.array(sequence, dtype=np.int64), 16),
        _extend(np.array(timestamp, dtype=np.int64), 32),
        np.array(payload_type, dtype=np.uint8),
        tuple(payload),
    )


def _extend(wrapped: Int64s, bits: int) -> Int64s:
    """Counters that do not wrap: each step is the shorter way round."""
    half = 1 << (bits - 1)
    steps = (np.diff(wrapped) + half) % (1 << bits) - half
    return np.concatenate([wrapped[:1], wrapped[0] + np.cumsum(steps)])


def _audible(payload: bytes) -> bool:
    pcm = ulaw_decode(np.frombuffer(payload, dtype=np.uint8))
    return bool(np.any(levels_dbfs(pcm, RATE // 200) > AUDIBLE_DBFS))
