"""What a browser says, as frames of 20 ms: receive buffer, decoder, and what stands in for lost sound."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from media.frame import FRAME_MS, Pcm, frame_samples
from media.legs.webrtc_buffer import Lost, ReceiveBuffer, Sound
from media.legs.webrtc_codecs import Codec
from media.legs.webrtc_settings import WebRtcSettings

_HASTEN_FROM_MS = FRAME_MS + 1.0
"""Delay beyond what is needed from which a frame may be left out."""
_HASTEN_MUCH_MS = 60.0
"""From here on it is left out even of speech."""
_HASTEN_AFTER = 50
"""Frames after which so much delay is taken out of speech too."""
_QUIET_LEVEL = 100.0
"""RMS of a frame in which nobody would hear a joint."""
_LATE_FRAMES = 5
"""Frames for which nothing may come before it counts as a pause."""
_PAUSE_OCTETS = 2
"""An Opus packet this short says that the sender pauses (DTX)."""


class Heard(NamedTuple):
    """One frame."""

    pcm: Pcm
    arrived: float
    lost: bool
    dtx: bool


class Ear:
    """Pulled once per frame by the clock; packets are pushed into `buffer`."""

    def __init__(self, codec: Codec, settings: WebRtcSettings) -> None:
        self.buffer = ReceiveBuffer(codec.clock, settings.least_buffer_ms, settings.most_buffer_ms)
        self.concealed = 0
        """Frames made up because their packet did not come."""
        self.restored = 0
        """Of those, the ones taken out of the next packet's redundancy."""
        self.hastened = 0
        """Frames left out to shorten the delay."""
        self.broken = 0
        """Packets that were no sound."""
        self._codec = codec
        self._decoder = codec.decoder()
        self._size = frame_samples(codec.sample_rate)
        self._ticks = codec.clock // codec.sample_rate
        self._rest: Pcm = np.zeros(0, np.int16)
        self._over = 0
        self._arrived = 0.0
        self._lost = self._dtx = False
        self._nothing = 0
        self._pausing = True

    def pull(self, now: float) -> Heard:
        """The frame to be heard at `now`, in seconds."""
        self._arrived, self._lost, self._dtx = now, False, False
        frame = self._frame(now)
        if self._too_late(frame):
            frame = _joined(frame, self._frame(now))
            self.hastened += 1
        return Heard(frame, self._arrived, self._lost, self._dtx)

    def _frame(self, now: float) -> Pcm:
        pieces, have = [self._rest], len(self._rest)
        while have < self._size:
            piece = self._next(now)
            pieces.append(piece)
            have += len(piece)
        whole = np.concatenate(pieces)
        self._rest = whole[self._size :]
        return whole[: self._size]

    def _next(self, now: float) -> Pcm:
        match self.buffer.pull(now):
            case Sound(payload, arrived):
                return self._decoded(payload, arrived)
            case Lost(following):
                self._lost = True
                self.concealed += 1
                if following is None:
                    return self._decoder.conceal(self._size)
                self.restored += 1
                return self._decoder.restore(following, self._size)
            case _:
                self._nothing += 1
                # What is missing was lost or is late, unless the sender said that it pauses.
                self._lost = not self._pausing and self._nothing <= _LATE_FRAMES
                self._dtx = not self._lost
                self.concealed += self._lost
                return self._decoder.conceal(self._size)

    def _decoded(self, payload: bytes, arrived: float) -> Pcm:
        try:
            pcm = self._decoder.decode(payload)
        except ValueError:
            self.broken += 1
            self._lost = True
            pcm = self._decoder.conceal(self._size)
        self.buffer.played(len(pcm) * self._ticks)
        self._arrived = arrived
        self._nothing = 0
        self._pausing = self._codec.pauses and len(payload) <= _PAUSE_OCTETS
        self._dtx = self._dtx or self._pausing
        return pcm

    def _too_late(self, frame: Pcm) -> bool:
        """Whether to leave a frame out: gladly where it is quiet, in speech only when it lasts or is much."""
        excess = self.buffer.excess_ms
        if excess < _HASTEN_FROM_MS or self._dtx or self._lost:
            self._over = 0
            return False
        self._over += 1
        quiet = float(np.sqrt(np.mean(np.square(frame, dtype=np.float32)))) < _QUIET_LEVEL
        if quiet or self._over >= _HASTEN_AFTER or (excess >= _HASTEN_MUCH_MS and self._over >= 3):
            self._over = 0
            return True
        return False


def _joined(first: Pcm, second: Pcm) -> Pcm:
    """Two frames in the time of one: the first fades out while the second fades in."""
    rise = np.linspace(0.0, 1.0, len(first), dtype=np.float32)
    return np.rint(first * (1 - rise) + second * rise).astype(np.int16)
