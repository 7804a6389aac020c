"""A leg whose far end others may overhear: what it really hears, as it is sent.

    write ─▶ leg's playout ─▶ far end          each 20 ms the leg says how much was sent: so much of what
      └────▶ mirror ─────────▶ ears            was written is handed to the ears, silence where it is less

Nothing is copied while nobody listens. What was already queued when somebody begins to listen is silence to
him; the next reply is the first that he hears.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from media.frame import AudioFrame, Pcm, Voice, samples
from media.legs.base import Leg, LegEvent, LegListener, Playout, PlayoutStarted
from media.legs.wrapped import WrappedLeg, WrappedPlayout

Ear: TypeAlias = Callable[[AudioFrame], None]
"""Given 20 ms of what the far end hears, on the loop's thread; must not block."""

_BEHIND = 0.2
"""Seconds that the ears may lag behind; what is older is left out, and counted."""
_MOST = 1_000_000
"""Samples of a reply that are kept for a far end from which no frames come to say how much was sent."""


class OverheardLeg(WrappedLeg):
    """The legs of calls are such ones."""

    def __init__(self, leg: Leg) -> None:
        super().__init__(leg)
        self._ears: list[Ear] = []
        self._mirror = _Mirror()
        self._playout: tuple[Playout, _MirroredPlayout] | None = None

    @property
    def playout(self) -> Playout:
        """The leg's own, overheard."""
        inner = self._leg.playout
        if self._playout is None or self._playout[0] is not inner:
            self._playout = (inner, _MirroredPlayout(inner, self._mirror))
        return self._playout[1]

    def overhear(self, ear: Ear) -> None:
        """Let somebody hear what the far end hears, from its next reply on."""
        self._ears.append(ear)
        self._mirror.open()

    def unhear(self, ear: Ear) -> None:
        """No longer. Idempotent."""
        if ear in self._ears:
            self._ears.remove(ear)
        if not self._ears:
            self._mirror.close()

    def attach(self, listener: LegListener) -> None:
        """See `Leg.attach`."""
        self._leg.attach(_Clock(listener, self))

    def patch(self, other: Leg) -> bool:
        """Not while somebody overhears: the sound would not come by."""
        inner = other._leg if isinstance(other, OverheardLeg) and not other._ears else other
        return not self._ears and self._leg.patch(inner)

    def stats(self) -> dict[str, int | float | str]:
        """The leg's own, and what ears that lagged behind have missed."""
        missed = {"overheard_dropped": self._mirror.dropped} if self._mirror.dropped else {}
        return {**self._leg.stats(), **missed}

    def tick(self, frame: AudioFrame) -> None:
        """20 ms have passed, by the far end's frames."""
        if self._ears:
            self._mirror.follow(self._leg.playout.position())
            heard = AudioFrame(
                self._mirror.take(len(frame.pcm), frame.sample_rate),
                frame.sample_rate,
                frame.pts,
                frame.arrived,
            )
            for ear in tuple(self._ears):
                ear(heard)

    def began(self, reply: int) -> None:
        """Another reply sounds."""
        self._mirror.began(reply)


class _Clock:
    """Hears the leg first, then passes on."""

    def __init__(self, listener: LegListener, leg: OverheardLeg) -> None:
        self._listener = listener
        self._leg = leg

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        self._leg.tick(frame)
        self._listener.hear(frame, voice)

    def notice(self, event: LegEvent) -> None:
        if isinstance(event, PlayoutStarted):
            self._leg.began(event.reply)
        self._listener.notice(event)


class _MirroredPlayout(WrappedPlayout):
    """Passes on first, then notes what was taken."""

    def __init__(self, playout: Playout, mirror: _Mirror) -> None:
        super().__init__(playout)
        self._mirror = mirror

    def write(self, pcm: Pcm, reply: int) -> int:
        taken = self._playout.write(pcm, reply)
        if taken:
            self._mirror.write(pcm[:taken], reply)
        return taken

    def clear(self) -> int:
        heard = self._playout.clear()
        self._mirror.clear(heard)
        return heard

    def duck(self, gain: float, ramp_ms: int = 20) -> None:
        self._playout.duck(gain, ramp_ms)
        self._mirror.gain = gain


@dataclass(slots=True)
class _Reply:
    number: int
    pcm: Pcm
    """Written, not yet sent."""
    sent: int = 0


class _Mirror:
    """What waits in a playout, and what left it since it was last asked."""

    def __init__(self) -> None:
        self.gain = 1.0
        self.dropped = 0
        self._open = False
        self._newest = 0
        self._before = 0
        """Replies up to here began when nobody listened."""
        self._waiting: deque[_Reply] = deque()
        self._sent: Pcm = np.zeros(0, np.int16)

    def open(self) -> None:
        """Somebody listens."""
        if not self._open:
            self._open, self._before = True, self._newest

    def close(self) -> None:
        """Nobody does."""
        self._open = False
        self._waiting.clear()
        self._sent = self._sent[:0]

    def write(self, pcm: Pcm, reply: int) -> None:
        self._newest = reply
        if not self._open or reply <= self._before:
            return
        if not self._waiting or self._waiting[-1].number != reply:
            self._waiting.append(_Reply(reply, np.zeros(0, np.int16)))
        last = self._waiting[-1]
        last.pcm = np.concatenate([last.pcm, pcm])
        if (excess := len(last.pcm) - _MOST) > 0:
            last.pcm, last.sent = last.pcm[excess:], last.sent + excess
            self.dropped += excess

    def began(self, reply: int) -> None:
        """All that was written before this reply was sent."""
        while self._waiting and self._waiting[0].number < reply:
            self._send(self._waiting.popleft().pcm)

    def follow(self, position: int) -> None:
        """So many samples of the present reply were sent."""
        if not self._waiting:
            return
        if position < self._waiting[0].sent and len(self._waiting) > 1:
            self.began(self._waiting[1].number)
        now = self._waiting[0]
        count = min(max(0, position - now.sent), len(now.pcm))
        self._send(now.pcm[:count])
        now.pcm = now.pcm[count:]
        now.sent += count

    def clear(self, heard: int) -> None:
        self.follow(heard)
        self._waiting.clear()

    def take(self, count: int, sample_rate: int) -> Pcm:
        """The next samples that were sent; silence where there are fewer."""
        most = count + samples(_BEHIND, sample_rate)
        if len(self._sent) > most:
            self.dropped += len(self._sent) - most
            self._sent = self._sent[-most:]
        taken, self._sent = self._sent[:count], self._sent[count:]
        return np.pad(taken, (0, count - len(taken)))

    def _send(self, pcm: Pcm) -> None:
        if self.gain != 1.0:
            pcm = (pcm * self.gain).astype(np.int16)
        self._sent = np.concatenate([self._sent, pcm])
        if (excess := len(self._sent) - _MOST) > 0:
            self._sent = self._sent[excess:]
            self.dropped += excess
