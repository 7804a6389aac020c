"""Many browser-like callers at little cost: aiortc's ICE, DTLS and SRTP, with sound that was encoded before.

What comes back is not decoded but for probes, which listen for the pulses that they send.
"""

from __future__ import annotations

import asyncio
import fractions
import time
from collections.abc import Sequence
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.codecs.opus import OpusDecoder, OpusEncoder
from aiortc.jitterbuffer import JitterFrame

Pcm = npt.NDArray[np.int16]

RATE = 48_000
FRAME = RATE // 50
_TIME_BASE = fractions.Fraction(1, RATE)
PULSE_EVERY = 30
"""Frames between two pulses of a probe."""
PULSE_FRAMES = 4
_HEARD = 1_500
"""Samples beyond this are a pulse."""
_QUIET_FRAMES = 10


def encoded(pcm: Pcm) -> list[bytes]:
    """Opus packets of 20 ms, as a browser sends them: 32 kbit/s, mono content."""
    encoder = OpusEncoder()
    encoder.codec.bit_rate = 32_000
    packets: list[bytes] = []
    for at in range(0, len(pcm) - FRAME + 1, FRAME):
        frame = av.AudioFrame.from_ndarray(pcm[at : at + FRAME].reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, at, _TIME_BASE
        packets += encoder.encode(frame)[0]
    return packets


def pulses() -> Pcm:
    """One round of a probe: a tone, and quiet until the next."""
    pcm = np.zeros(PULSE_EVERY * FRAME, np.int16)
    tone = np.arange(PULSE_FRAMES * FRAME)
    pcm[: len(tone)] = 9_000 * np.sin(tone * (2 * np.pi * 1_000 / RATE))
    return pcm


class _Tape(MediaStreamTrack):  # type: ignore[misc]
    """Packets over and over, each 20 ms on a grid of its own."""

    kind = "audio"

    def __init__(self, packets: Sequence[bytes], offset: int) -> None:
        super().__init__()
        self.sent: list[float] = []
        """When each round's first packet left."""
        self._packets = packets
        self._next = offset % len(packets)
        self._count = 0
        self._began = 0.0

    async def recv(self) -> av.Packet[Any]:
        """See `MediaStreamTrack.recv`."""
        if not self._count:
            self._began = time.monotonic()
        due = self._began + self._count * 0.02
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if self._next == 0:
            self.sent.append(time.monotonic())
        packet = av.Packet(self._packets[self._next])
        packet.pts, packet.time_base = self._count * FRAME, _TIME_BASE
        self._next = (self._next + 1) % len(self._packets)
        self._count += 1
        return packet


class LoadCaller:
    """One caller."""

    def __init__(self, packets: Sequence[bytes], offset: int, *, probe: bool) -> None:
        self.received = 0
        self.heard: list[float] = []
        """When each pulse began to be heard, had it been played as it came."""
        self.tape = _Tape(packets, offset)
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._decoder = OpusDecoder() if probe else None
        self._quiet = _QUIET_FRAMES
        self._peer.addTrack(self.tape)

    async def offer(self) -> str:
        """The SDP offer."""
        await self._peer.setLocalDescription(await self._peer.createOffer())
        return str(self._peer.localDescription.sdp)

    async def connect(self, answer: str) -> None:
        """Take the answer, and wait until sound flows. Raises `TimeoutError`."""
        receiver = self._peer.getTransceivers()[0].receiver
        receiver._handle_rtp_packet = self._packet  # neither its buffer nor its decoder's thread
        await self._peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        async with asyncio.timeout(20):
            while self._peer.connectionState != "connected":  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        """Hang up."""
        await self._peer.close()

    async def _packet(self, packet: Any, arrival_time_ms: int) -> None:
        self.received += 1
        if self._decoder is None:
            return
        now = time.monotonic()
        for frame in self._decoder.decode(JitterFrame(packet.payload, packet.timestamp)):
            pcm = frame.to_ndarray().reshape(-1)[::2]
            loud = np.flatnonzero(np.abs(pcm) > _HEARD)
            if not len(loud):
                self._quiet += 1
                continue
            if self._quiet >= _QUIET_FRAMES:
                self.heard.append(now + loud[0] / RATE)
            self._quiet = 0


def mouth_to_ear(caller: LoadCaller, since: float) -> tuple[list[float], int]:
    """Seconds from each pulse's first sample at the mouth to the ear, and how many were not heard.

    A packet leaves 20 ms after its first sample was taken.
    """
    delays, lost = [], 0
    heard = sorted(caller.heard)
    sent = [at for at in caller.tape.sent if at >= since]
    for at in sent[:-1]:
        after = [moment for moment in heard if at < moment < at + PULSE_EVERY * 0.02]
        if after:
            delays.append(after[0] - at + 0.02)
        else:
            lost += 1
    return delays, lost
