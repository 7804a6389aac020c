"""Sound as backends carry it: G.711 at 8 kHz or 16-bit PCM at 24 kHz, to and from a leg's samples."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from media.frame import FRAME_MS, AudioFrame, Pcm
from media.g711 import ALAW, ULAW, to_alaw, to_ulaw
from media.live_resample import LiveResampler

_NONE: Pcm = np.zeros(0, np.int16)


class WireFormat(StrEnum):
    """The names are those of the Realtime API; Media Streams always carry mu-law."""

    PCMU = "audio/pcmu"
    PCMA = "audio/pcma"
    PCM = "audio/pcm"
    """Signed 16 bits, little endian, 24,000 samples a second."""

    @property
    def rate(self) -> int:
        """Samples per second."""
        return 24000 if self is WireFormat.PCM else 8000

    @property
    def sample_bytes(self) -> int:
        """Octets of one sample."""
        return 2 if self is WireFormat.PCM else 1


def encoded(pcm: Pcm, wire: WireFormat) -> bytes:
    """Samples at the format's own rate as octets."""
    match wire:
        case WireFormat.PCMU:
            return to_ulaw(pcm)
        case WireFormat.PCMA:
            return to_alaw(pcm)
        case WireFormat.PCM:
            return pcm.astype("<i2").tobytes()


class WireEncoder:
    """A leg's frames into equal pieces of 20 ms; their number follows the frames', whatever the rates."""

    def __init__(self, wire: WireFormat) -> None:
        self._wire = wire
        self._piece = wire.rate * FRAME_MS // 1000
        self._resampler = LiveResampler(wire.rate, wire.rate)
        self._rate = wire.rate
        self._rest = _NONE

    def push(self, frame: AudioFrame) -> list[bytes]:
        """The pieces that are full now: one for a frame."""
        if frame.sample_rate != self._rate:  # the leg took another codec
            self._rate = frame.sample_rate
            self._resampler = LiveResampler(self._rate, self._wire.rate)
        ready = self._resampler.push(frame.pcm)
        waiting = np.concatenate([self._rest, ready]) if len(self._rest) else ready
        whole = len(waiting) // self._piece * self._piece
        self._rest = waiting[whole:]
        return [
            encoded(waiting[place : place + self._piece], self._wire)
            for place in range(0, whole, self._piece)
        ]


class WireDecoder:
    """A backend's octets, in pieces of any size, into samples at the leg's rate."""

    def __init__(self, wire: WireFormat) -> None:
        self._wire = wire
        self._rate = wire.rate
        self._resampler = LiveResampler(wire.rate, wire.rate, aligned=True)
        self._half = b""

    def push(self, octets: bytes, rate: int) -> Pcm:
        """The samples that are ready; where the rates differ, a few milliseconds stay for `flush`."""
        if rate != self._rate:
            self._rate = rate
            self._resampler = LiveResampler(self._wire.rate, rate, aligned=True)
        return self._resampler.push(self._samples(octets))

    def flush(self) -> Pcm:
        """The rest of what was given."""
        self._half = b""
        return self._resampler.flush()

    def reset(self) -> None:
        """What was given is not wanted any more."""
        self.flush()

    def _samples(self, octets: bytes) -> Pcm:
        match self._wire:
            case WireFormat.PCMU:
                return ULAW[np.frombuffer(octets, np.uint8)]
            case WireFormat.PCMA:
                return ALAW[np.frombuffer(octets, np.uint8)]
            case WireFormat.PCM:
                whole = self._half + octets
                even = len(whole) // 2 * 2
                self._half = whole[even:]
                return np.frombuffer(whole[:even], "<i2").astype(np.int16)
