"""RTCP of one call (RFC 3550 section 6.4): what we tell of the browser's stream, and learn of ours."""

from __future__ import annotations

from typing import Any

from aiortc.rtp import (
    RtcpPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
)

from media.legs.webrtc_buffer import ReceiveBuffer
from media.legs.webrtc_rtp import Unwrap

_NTP_SECOND = 1 << 32


class Reports:
    """Counts one received stream, and reads what the far end reports of ours."""

    def __init__(self) -> None:
        self.rtt: float | None = None
        """Seconds there and back, by the last report; None: not known yet."""
        self.remote_lost = 0
        """Packets of ours that the browser misses."""
        self.remote_loss_percent = 0
        """Of the last interval."""
        self.remote_jitter = 0
        self._unwrap = Unwrap(16)
        self._first: int | None = None
        self._highest = 0
        self._received = 0
        self._expected_before = self._received_before = 0
        self._last_report: tuple[int, float] | None = None
        self._ssrc: int | None = None

    @property
    def lost(self) -> int:
        """Packets of the browser's that never came."""
        return max(0, self._expected - self._received)

    def heard(self, ssrc: int, sequence: int) -> None:
        """A packet of the stream came."""
        if ssrc != self._ssrc:
            self._ssrc, self._unwrap, self._first = ssrc, Unwrap(16), None
            self._highest = self._received = self._expected_before = self._received_before = 0
        number = self._unwrap(sequence)
        if self._first is None:
            self._first = self._highest = number
        self._highest = max(self._highest, number)
        self._received += 1

    def read(self, data: bytes, our_ssrc: int, now: float) -> None:
        """A report came; broken ones are ignored."""
        try:
            packets = RtcpPacket.parse(data)
        except ValueError:
            return
        for packet in packets:
            if isinstance(packet, RtcpSrPacket):
                self._last_report = (packet.sender_info.ntp_timestamp >> 16 & 0xFFFFFFFF, now)
            if isinstance(packet, RtcpSrPacket | RtcpRrPacket):
                for report in packet.reports:
                    if report.ssrc == our_ssrc:
                        self._reported(report, now)

    def write(
        self, ssrc: int, sent: tuple[int, int, int], buffer: ReceiveBuffer, clock: int, now: float
    ) -> bytes:
        """Our report: of our stream (`sent`: last timestamp, packets, octets) and of the browser's."""
        timestamp, packets, octets = sent
        told = RtcpSrPacket(
            ssrc=ssrc,
            sender_info=RtcpSenderInfo(
                ntp_timestamp=_ntp(now),
                rtp_timestamp=timestamp,
                packet_count=packets & 0xFFFFFFFF,
                octet_count=octets & 0xFFFFFFFF,
            ),
            reports=self._about(buffer, clock, now),
        )
        name = RtcpSdesPacket(chunks=[RtcpSourceInfo(ssrc=ssrc, items=[(1, b"offhook")])])
        return bytes(told) + bytes(name)

    def _about(self, buffer: ReceiveBuffer, clock: int, now: float) -> list[Any]:
        if self._ssrc is None:
            return []
        expected, received = self._expected, self._received
        missed = (expected - self._expected_before) - (received - self._received_before)
        share = max(0, missed) * 256 // max(1, expected - self._expected_before)
        self._expected_before, self._received_before = expected, received
        lsr, since = self._last_report or (0, now)
        return [
            RtcpReceiverInfo(
                ssrc=self._ssrc,
                fraction_lost=min(share, 255),
                packets_lost=min(self.lost, (1 << 23) - 1),
                highest_sequence=self._highest & 0xFFFFFFFF,
                jitter=int(buffer.jitter_ms * clock / 1000) & 0xFFFFFFFF,
                lsr=lsr,
                dlsr=min(max(0, int((now - since) * 65536)), 0xFFFFFFFF),
            )
        ]

    @property
    def _expected(self) -> int:
        return 0 if self._first is None else self._highest - self._first + 1

    def _reported(self, report: Any, now: float) -> None:
        self.remote_lost = report.packets_lost
        self.remote_loss_percent = report.fraction_lost * 100 // 256
        self.remote_jitter = report.jitter
        if report.lsr:
            rtt = ((_ntp(now) >> 16) - report.lsr - report.dlsr & 0xFFFFFFFF) / 65536
            if rtt < 60:
                self.rtt = rtt


def _ntp(now: float) -> int:
    """A moment in NTP's form (RFC 3550 section 4). Only differences matter, so monotonic seconds serve."""
    return int(now * _NTP_SECOND) & ((1 << 64) - 1)
