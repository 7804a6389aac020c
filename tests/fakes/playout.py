"""A playout in plain sight: every tick's reply number and sound is kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from media.frame import Pcm
from media.legs.base import LegEvent, PlayoutDrained, PlayoutStarted


class RecordingPlayout:
    """What the far end hears, tick by tick. `pull` is the leg's clock."""

    def __init__(self, post: Callable[[LegEvent], None], frame: int = 160, room: int = 480_000) -> None:
        self.post, self.frame, self.room = post, frame, room
        self.heard: list[tuple[float, int, Pcm]] = []
        """Time, reply, and samples of every tick that was not silent."""
        self.gains: list[tuple[int, float]] = []
        self.refused = 0
        self.reply = self.barred = self.sent = 0
        self.queue: Pcm = np.zeros(0, np.int16)
        self.finished = False

    def write(self, pcm: Pcm, reply: int) -> int:
        if reply <= self.barred:
            self.refused += 1
            return 0
        if reply != self.reply:
            self.reply, self.sent, self.finished = reply, 0, False
        taken = pcm[: self.room - len(self.queue)]
        self.queue = np.concatenate([self.queue, taken])
        return len(taken)

    def mark(self, mark: int) -> None:
        raise NotImplementedError("sessions set no marks")

    def finish(self) -> None:
        self.finished = True

    def clear(self) -> int:
        self.barred, self.queue, self.finished = self.reply, self.queue[:0], False
        return self.sent

    def position(self) -> int:
        return self.sent

    def duck(self, gain: float, ramp_ms: int = 20) -> None:
        self.gains.append((self.sent, gain))

    def pull(self, at: float) -> None:
        """One packet leaves."""
        packet, self.queue = self.queue[: self.frame], self.queue[self.frame :]
        if len(packet):
            self.heard.append((at, self.reply, packet))
            if not self.sent:
                self.post(PlayoutStarted(self.reply, at))
            self.sent += len(packet)
        if self.finished and not len(self.queue):
            self.finished = False
            self.post(PlayoutDrained(self.reply, self.sent, at))
