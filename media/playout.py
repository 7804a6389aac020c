"""A playout in Python: the same promise as the native one, for legs that have no native media."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from media.frame import Pcm, frame_samples, samples
from media.legs.base import LegEvent, PlayoutDrained, PlayoutMark, PlayoutStarted

DEPTH = 120.0
"""Seconds of sound that fit in: the longest reply may be queued at once."""
MOST_MARKS = 256


@dataclass(slots=True)
class _Sound:
    """Samples of one reply that are still to be sent."""

    reply: int
    pcm: Pcm


@dataclass(frozen=True, slots=True)
class _Mark:
    reply: int
    mark: int


@dataclass(frozen=True, slots=True)
class _End:
    reply: int


_Item: TypeAlias = _Sound | _Mark | _End


class QueuePlayout:
    """Implements `media.legs.base.Playout`. The leg's clock calls `pull` once per frame; one thread only."""

    def __init__(self, sample_rate: int, post: Callable[[LegEvent], None], depth: float = DEPTH) -> None:
        """`post` hears of starts, marks and ends, from inside `pull`."""
        self._rate = sample_rate
        self._post = post
        self._room = samples(depth, sample_rate)
        self._items: deque[_Item] = deque()
        self._newest = 0
        self._open = False
        self._current = 0
        self._sent = 0
        self._ducker = _Ducker(sample_rate)
        self.written = 0
        """Samples taken since the beginning; always sent + cleared + queued."""
        self.sent = 0
        self.cleared = 0
        self.refused = 0
        """Samples refused: of a stale reply, or for lack of room."""

    @property
    def queued(self) -> int:
        """Samples waiting to be sent."""
        return self.written - self.sent - self.cleared

    @property
    def busy(self) -> bool:
        """Whether anything waits: sound, a mark or an end."""
        return bool(self._items)

    def write(self, pcm: Pcm, reply: int) -> int:
        """See `Playout.write`."""
        stale = reply < self._newest or (reply == self._newest and not self._open)
        taken = 0 if stale else min(len(pcm), self._room - self.queued)
        self.refused += len(pcm) - taken
        if taken:
            self._begin(reply)
            self._items.append(_Sound(reply, np.array(pcm[:taken], np.int16)))
            self.written += taken
        return taken

    def mark(self, mark: int) -> None:
        """See `Playout.mark`. Beyond `MOST_MARKS` that wait, a mark is dropped."""
        if sum(isinstance(item, _Mark) for item in self._items) < MOST_MARKS:
            self._items.append(_Mark(self._newest, mark))

    def finish(self) -> None:
        """See `Playout.finish`."""
        if self._open:
            self._open = False
            self._items.append(_End(self._newest))

    def clear(self) -> int:
        """See `Playout.clear`."""
        heard = self.position()
        self.cleared += self.queued
        self._items.clear()
        self._open = False
        return heard

    def position(self) -> int:
        """See `Playout.position`. The current reply is the one whose sound comes next, or came last."""
        ahead = next((item.reply for item in self._items if isinstance(item, _Sound)), self._current)
        return self._sent if ahead == self._current else 0

    def duck(self, gain: float, ramp_ms: int = 20) -> None:
        """See `Playout.duck`."""
        self._ducker.aim(gain, ramp_ms)

    def pull(self, now: float) -> Pcm:
        """The next frame, silence where there is nothing to say; events carry `now`."""
        frame = np.zeros(frame_samples(self._rate), np.int16)
        filled = 0
        while self._items:
            item = self._items[0]
            if isinstance(item, _Sound):
                if filled == len(frame):
                    break
                filled += self._send(item, frame[filled:], now)
            else:
                self._items.popleft()
                self._tell(item, now)
        self._ducker.scale(frame)
        return frame

    def _begin(self, reply: int) -> None:
        if reply != self._newest:
            self.finish()
            self._newest = reply
            self._open = True

    def _send(self, sound: _Sound, frame: Pcm, now: float) -> int:
        """Fill the frame from the front of the queue; returns the samples sent."""
        if sound.reply != self._current:
            self._current = sound.reply
            self._sent = 0
            self._post(PlayoutStarted(sound.reply, now))
        count = min(len(sound.pcm), len(frame))
        frame[:count] = sound.pcm[:count]
        sound.pcm = sound.pcm[count:]
        if not len(sound.pcm):
            self._items.popleft()
        self._sent += count
        self.sent += count
        return count

    def _tell(self, item: _Mark | _End, now: float) -> None:
        if isinstance(item, _Mark):
            self._post(PlayoutMark(item.reply, item.mark, now))
        else:
            self._post(PlayoutDrained(item.reply, self._sent, now))


class _Ducker:
    """A gain that moves in a straight line, so that nothing clicks."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._gain = 1.0
        self._target = 1.0
        self._step = 0.0

    def aim(self, gain: float, ramp_ms: int) -> None:
        """Be at `gain`, held within 0..1, after the ramp."""
        self._target = min(max(gain, 0.0), 1.0)
        ramp = max(self._rate * ramp_ms // 1000, 1)
        self._step = abs(self._target - self._gain) / ramp

    def scale(self, frame: Pcm) -> None:
        """Apply the gain in place and move it on."""
        if self._gain == self._target == 1.0:
            return
        way = self._target - self._gain
        walked = np.minimum(np.arange(1, len(frame) + 1) * self._step, abs(way))
        gains = self._gain + np.copysign(walked, way)
        self._gain = float(gains[-1]) if walked[-1] < abs(way) else self._target
        frame[:] = np.rint(frame * gains).astype(np.int16)
