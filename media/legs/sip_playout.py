"""A leg's `Playout` over the native frame bus."""

from __future__ import annotations

from typing import Any

from media.frame import Pcm


class SipPlayout:
    """Forwards to the bus; silent and harmless once the leg is over."""

    def __init__(self, bus: Any, leg: int) -> None:
        self._bus = bus
        self._leg = leg
        self._open = True
        self._sent = 0

    def write(self, pcm: Pcm, reply: int) -> int:
        """Queue samples at the leg's rate; returns how many were taken."""
        return int(self._bus.write(self._leg, pcm, reply)) if self._open else 0

    def mark(self, mark: int) -> None:
        """Ask for a `PlayoutMark` once everything written so far was sent."""
        if self._open:
            self._bus.mark(self._leg, mark)

    def finish(self) -> None:
        """The reply has no more audio: `PlayoutDrained` follows when its last sample was sent."""
        if self._open:
            self._bus.finish(self._leg)

    def clear(self) -> int:
        """Fall silent at once; returns the samples of the current reply that were really sent."""
        return int(self._bus.clear(self._leg)[1]) if self._open else self._sent

    def position(self) -> int:
        """Samples of the current reply sent so far."""
        return int(self._bus.position(self._leg)[1]) if self._open else self._sent

    def duck(self, gain: float, ramp_ms: int = 20) -> None:
        """Scale what is being played, 0..1; 1 restores it."""
        if self._open:
            self._bus.duck(self._leg, gain, ramp_ms)

    def shut(self) -> None:
        """The leg is over: its number on the bus may soon be somebody else's.

        How much of the current reply was sent stays known: whoever hung up in the middle of it heard so much.
        """
        if self._open:
            self._sent = int(self._bus.clear(self._leg)[1])
            self._open = False
