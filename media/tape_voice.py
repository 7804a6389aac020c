"""Our own voice on a tape: what was written, laid where it was heard, cut where it was cleared."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from media.frame import Pcm


def lay_onto(channel: Pcm, origin: int, at: int, pcm: Pcm) -> None:
    """Copy what of `pcm`, which lies at `at`, falls into a channel that begins at `origin`."""
    first = max(at, origin)
    last = min(at + len(pcm), origin + len(channel))
    if last > first:
        channel[first - origin : last - origin] = pcm[first - at : last - at]


@dataclass(slots=True)
class _Stretch:
    """Samples written in one go."""

    at: int
    """Place on the tape; meaningless until the reply has started."""
    offset: int
    """Samples of the reply before these."""
    pcm: Pcm


@dataclass(slots=True)
class _Reply:
    started: bool = False
    drained: bool = False
    written: int = 0
    end: int = 0
    """Place after its last laid sample."""
    stretches: deque[_Stretch] = field(default_factory=deque)

    @property
    def held(self) -> int:
        """Samples kept."""
        return sum(len(stretch.pcm) for stretch in self.stretches)


class TapeVoice:
    """The stretches of all replies that are not on the disk yet; bounded."""

    MOST_REPLIES = 16

    def __init__(self, most_samples: int) -> None:
        self._most = most_samples
        self._held = 0
        self._replies: dict[int, _Reply] = {}
        self.dropped = 0
        """Samples not kept for lack of room."""

    def write(self, pcm: Pcm, reply: int, now: int) -> None:
        """More of a reply. Once it has started, what comes after a gap begins at `now`."""
        mine = self._replies.setdefault(reply, _Reply())
        offset = mine.written
        mine.written += len(pcm)
        if self._held + len(pcm) > self._most:
            self.dropped += len(pcm)
            return
        self._held += len(pcm)
        stretch = _Stretch(max(mine.end, now), offset, pcm)
        mine.stretches.append(stretch)
        mine.end = stretch.at + len(pcm)
        while len(self._replies) > self.MOST_REPLIES:
            self._held -= self._replies.pop(next(iter(self._replies))).held

    def started(self, reply: int, at: int) -> None:
        """The reply's first sample was heard at this place."""
        mine = self._replies.get(reply)
        if mine is None or mine.started:
            return
        mine.started = True
        for stretch in mine.stretches:
            stretch.at = at + stretch.offset
        mine.end = at + mine.written

    def drained(self, reply: int) -> None:
        """The reply was heard whole: a later cut is not meant for it."""
        if mine := self._replies.get(reply):
            mine.drained = True

    def cut(self, heard: int) -> None:
        """Of the reply that sounds, only so many samples were heard; of later ones none."""
        for mine in self._replies.values():
            if mine.drained:
                continue
            self._held -= mine.held
            mine.stretches = deque(
                _Stretch(one.at, one.offset, one.pcm[: heard - one.offset])
                for one in mine.stretches
                if one.offset < heard
            )
            self._held += mine.held
            mine.drained = True
            heard = 0

    def take(self, channel: Pcm, origin: int) -> None:
        """Lay onto a channel that begins at `origin` all that is known to fall there, and forget it."""
        until = origin + len(channel)
        for number, mine in list(self._replies.items()):
            if not mine.started:
                continue
            while mine.stretches and mine.stretches[0].at < until:
                stretch = mine.stretches.popleft()
                lay_onto(channel, origin, stretch.at, stretch.pcm)
                over = stretch.at + len(stretch.pcm) - until
                self._held -= len(stretch.pcm) - max(over, 0)
                if over > 0:
                    cut = len(stretch.pcm) - over
                    mine.stretches.appendleft(_Stretch(until, stretch.offset + cut, stretch.pcm[cut:]))
                    break
            if mine.drained and not mine.stretches:
                del self._replies[number]
