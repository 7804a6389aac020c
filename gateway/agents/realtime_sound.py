"""The sound of one call with a realtime endpoint, both ways: its format, and what waits for the session.

leg ─frames→ hear ─┬ until the session is ready: kept ┐
                   └ encoded: G.711 or PCM 24 kHz ────┴→ Outbox
leg ←playout←──────── model: decoded, at the leg's rate ←── socket
"""

from __future__ import annotations

import json
from collections import deque

from gateway.agents.realtime_events import append
from gateway.agents.realtime_settings import RealtimeSettings
from gateway.agents.sound import SoundCall
from gateway.agents.sound_wire import WireDecoder, WireEncoder, WireFormat
from gateway.agents.text_socket import Outbox
from media.frame import AudioFrame, Pcm


class RealtimeSound:
    """Encodes the caller, decodes the model."""

    def __init__(self, outbox: Outbox, most_early: int) -> None:
        """`most_early`: frames of the caller that may wait for the session; the oldest are lost."""
        self._outbox = outbox
        self._early: deque[AudioFrame] = deque(maxlen=most_early)
        self.ready = False
        """The endpoint said how it holds the session: it may be sent sound."""
        self.take(WireFormat.PCM)

    def take(self, wire: WireFormat) -> None:
        """Speak this format from now on."""
        self.wire = wire
        self._encoder, self._decoder = WireEncoder(wire), WireDecoder(wire)

    def begin(self) -> None:
        """The session holds: the caller's sound so far follows, then each frame as it comes."""
        self.ready = True
        while self._early:
            self._append(self._early.popleft())

    def hear(self, frame: AudioFrame) -> None:
        """20 ms of the caller."""
        if self.ready:
            self._append(frame)
        else:
            self._early.append(frame)

    def model(self, octets: bytes, sample_rate: int) -> Pcm:
        """More of the model's sound, at this rate."""
        return self._decoder.push(octets, sample_rate)

    def rest(self) -> Pcm:
        """The end of the model's sound that its decoder still held."""
        return self._decoder.flush()

    def cut(self) -> None:
        """Forget the model's sound that is not whole yet."""
        self._decoder.reset()

    def _append(self, frame: AudioFrame) -> None:
        for piece in self._encoder.push(frame):
            self._outbox.sound(json.dumps(append(piece), separators=(",", ":")))


def wanted_format(settings: RealtimeSettings, call: SoundCall) -> WireFormat:
    """The call's own G.711 needs no resampling; anything else goes as PCM."""
    match settings.audio:
        case "pcmu":
            return WireFormat.PCMU
        case "pcma":
            return WireFormat.PCMA
        case "auto" if call.sample_rate == WireFormat.PCMU.rate:
            return WireFormat.PCMA if call.codec == "PCMA" else WireFormat.PCMU
    return WireFormat.PCM
