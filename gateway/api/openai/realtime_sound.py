"""The sound of a realtime session: octets of the wire to frames for the recogniser."""

from __future__ import annotations

import numpy as np

from gateway.api.core.framer import Framer
from gateway.api.openai.realtime_session import Session
from media.frame import AudioFrame, Pcm
from media.g711 import ALAW, ULAW
from media.live_resample import steady


class Sound:
    """One stream; pieces may be cut anywhere, inside a sample too."""

    def __init__(self, session: Session) -> None:
        self._wire = session.wire
        self._rate = session.wire_rate
        self._resampler = steady(session.wire_rate, session.frame_rate)
        self._framer = Framer(session.frame_rate)
        self._rest = b""
        self._samples = 0

    @property
    def uncommitted(self) -> float:
        """Seconds that came since the last commit."""
        return self._samples / self._rate

    def push(self, octets: bytes) -> list[AudioFrame]:
        """The frames that are full now."""
        pcm = self._decoded(octets)
        self._samples += len(pcm)
        return self._framer.push(self._resampler.push(pcm), 0.0)

    def commit(self) -> list[AudioFrame]:
        """The rest of what was sent, the last frame filled up with silence."""
        self._samples = 0
        frames = self._framer.push(self._resampler.flush(), 0.0)
        return [*frames, *self._framer.flush(0.0)]

    def _decoded(self, octets: bytes) -> Pcm:
        if self._wire == "audio/pcmu":
            return ULAW[np.frombuffer(octets, np.uint8)]
        if self._wire == "audio/pcma":
            return ALAW[np.frombuffer(octets, np.uint8)]
        whole = self._rest + octets
        even = len(whole) // 2 * 2
        self._rest = whole[even:]
        return np.frombuffer(whole[:even], "<i2").astype(np.int16)
