"""The three codecs of a browser's leg, behind two small protocols."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from media.frame import Pcm, frame_samples
from media.g711 import ALAW, ULAW, Codes, to_alaw, to_ulaw
from media.legs.webrtc_opus import OpusDecoder, OpusEncoder
from media.legs.webrtc_settings import WebRtcSettings

WIDE = 16_000
NARROW = 8_000


class Encoder(Protocol):
    """Frames of 20 ms to packets."""

    def encode(self, pcm: Pcm) -> bytes:
        """The frame's packet."""

    def pause(self, on: bool) -> None:
        """Whether nothing is being said from here on."""

    def expect_loss(self, percent: int) -> None:
        """How many packets of a hundred the far end loses."""


class Decoder(Protocol):
    """Packets to sound, and sound in place of packets that did not come."""

    def decode(self, packet: bytes) -> Pcm:
        """The packet's sound. Raises `ValueError`."""

    def restore(self, following: bytes, samples: int) -> Pcm:
        """A lost packet's sound, as far as the one after it tells it."""

    def conceal(self, samples: int) -> Pcm:
        """Something in place of what did not come."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One codec as both sides agreed on it."""

    name: str
    clock: int
    """RTP's clock, ticks per second."""
    sample_rate: int
    """Of the leg that uses it."""
    pauses: bool
    """Whether silence need not be sent (DTX)."""

    def encoder(self, settings: WebRtcSettings) -> Encoder:
        """A new stream towards the browser."""
        if self.name == "opus":
            return OpusEncoder(self.sample_rate, settings.bitrate, settings.complexity)
        return _Compander(to_ulaw if self.name == "PCMU" else to_alaw)

    def decoder(self) -> Decoder:
        """A new stream from the browser."""
        if self.name == "opus":
            return OpusDecoder(self.sample_rate)
        return _Expander(ULAW if self.name == "PCMU" else ALAW)


CODECS = {
    "opus": Codec("opus", 48_000, WIDE, pauses=True),
    "PCMU": Codec("PCMU", 8_000, NARROW, pauses=False),
    "PCMA": Codec("PCMA", 8_000, NARROW, pauses=False),
}
"""By rtpmap's name. Opus' RTP clock is always 48 kHz (RFC 7587 section 4.1), whatever is heard."""


class _Compander:
    def __init__(self, compand: Callable[[Pcm], bytes]) -> None:
        self._compand = compand

    def encode(self, pcm: Pcm) -> bytes:
        return self._compand(pcm)

    def pause(self, on: bool) -> None:
        """G.711 knows no pause."""

    def expect_loss(self, percent: int) -> None:
        """G.711 has no redundancy to add."""


class _Expander:
    """G.711 with the simplest concealment that does not buzz: the last frame again, ever fainter."""

    FADE = 0.5

    def __init__(self, table: Pcm) -> None:
        self._table = table
        self._last: Pcm = np.zeros(frame_samples(NARROW), np.int16)

    def decode(self, packet: bytes) -> Pcm:
        if not packet:
            raise ValueError("the packet is empty")
        codes: Codes = np.frombuffer(packet, np.uint8)
        pcm: Pcm = self._table[codes]
        if len(pcm) >= len(self._last):
            self._last = pcm[-len(self._last) :]
        return pcm

    def restore(self, following: bytes, samples: int) -> Pcm:
        return self.conceal(samples)

    def conceal(self, samples: int) -> Pcm:
        self._last = (self._last * self.FADE).astype(np.int16)
        return np.resize(self._last, samples)
