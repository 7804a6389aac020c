"""What a browser hears: the playout's sound as packets, on the clock's grid, with silence left out."""

from __future__ import annotations

import secrets

import numpy as np

from media.frame import Pcm, frame_samples
from media.legs.webrtc_codecs import Codec
from media.legs.webrtc_playout import SharedPlayout
from media.legs.webrtc_rtp import write_rtp
from media.legs.webrtc_settings import WebRtcSettings

_SILENT_FRAMES = 15
"""Frames of silence that are still encoded after sound, until Opus says that it pauses."""
_KEPT_ALIVE = 20
"""Frames between two packets of a pause (RFC 7587 section 3.1.3: 400 ms)."""
_PAUSE_OCTETS = 2


class Mouth:
    """One stream towards one browser."""

    def __init__(
        self, codec: Codec, payload_type: int, playout: SharedPlayout, settings: WebRtcSettings
    ) -> None:
        self.ssrc = secrets.randbits(32)
        self.packets = self.octets = 0
        self.last_timestamp = 0
        self._codec = codec
        self._payload_type = payload_type
        self._playout = playout
        self._encoder = codec.encoder(settings)
        self._silence: Pcm = np.zeros(frame_samples(codec.sample_rate), np.int16)
        self._sequence = secrets.randbits(15)
        self._origin = secrets.randbits(32)
        self._began: float | None = None
        self._silent = 0
        self._pausing = False

    @property
    def idle(self) -> bool:
        """Whether nothing is being said: the next sound may begin at any moment of the clock."""
        return self._pausing

    @property
    def waiting(self) -> bool:
        """Whether there is something to say."""
        return self._playout.waiting

    def expect_loss(self, percent: int) -> None:
        """How many of a hundred packets the browser loses, by its reports."""
        self._encoder.expect_loss(percent)

    def packet(self, at: float) -> bytes | None:
        """The packet that is due at `at`, nominal seconds, or None in a pause."""
        pcm = self._playout.pull(at)
        if pcm is None:
            return self._pause(at)
        first = self._pausing or not self.packets
        if self._silent:
            self._encoder.pause(False)
        self._pausing, self._silent = False, 0
        return self._packed(self._encoder.encode(pcm), at, marker=first)

    def _pause(self, at: float) -> bytes | None:
        if not self._silent:
            self._encoder.pause(True)
        self._silent += 1
        if not self._codec.pauses:
            return self._packed(self._encoder.encode(self._silence), at, marker=False)
        if self._pausing and self._silent % _KEPT_ALIVE:
            return None
        payload = self._encoder.encode(self._silence)
        if len(payload) <= _PAUSE_OCTETS or self._silent >= _SILENT_FRAMES:
            self._pausing = True
        return self._packed(payload, at, marker=False)

    def _packed(self, payload: bytes, at: float, *, marker: bool) -> bytes:
        if self._began is None:
            self._began = at
        self.last_timestamp = (self._origin + round((at - self._began) * self._codec.clock)) & 0xFFFFFFFF
        self._sequence += 1
        self.packets += 1
        self.octets += len(payload)
        return write_rtp(self._payload_type, marker, self._sequence, self.last_timestamp, self.ssrc, payload)
