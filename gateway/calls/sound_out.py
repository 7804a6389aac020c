"""What the far end hears of an agent that makes its own sound: reply numbers, marks, how far each tag got.

    agent ── play(pcm, tag), mark(name) ──> SoundOut ── write(pcm, reply), mark(number) ──> leg's playout
                                               ▲ clear()                 PlayoutMark │
                                               └── names of marks, samples heard <───┘

A backend streams without saying where one utterance ends, so a reply number stands for a stretch without a
gap: the first sound after silence takes a new one, and its `PlayoutStarted` times the turn. Everything is
counted in samples on one line of time, on which only what was really sent, or may still be, has a place.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from media.frame import Pcm, samples
from media.legs.base import Playout

MOST_MARKS = 128
"""Marks that wait in the leg's playout; further ones wait with the last of them, and are told with it."""
MOST_NAMES = 1024
"""Names of marks that wait; what is more is told at once and counted."""
_MOST_STRETCHES = 256


@dataclass(slots=True)
class _Stretch:
    """Samples of one tag that follow each other."""

    tag: str
    start: int
    samples: int
    """Sent, or still to be sent."""
    given: int
    """The same, and those that were cleared."""


@dataclass(frozen=True, slots=True)
class Heard:
    """How far one tag's sound got, in samples of the leg."""

    sent: int
    given: int
    """Sent, still to be sent, or cleared."""

    @property
    def whole(self) -> bool:
        """All of it was sent."""
        return self.sent == self.given


class SoundOut:
    """One stage's use of a leg's playout."""

    def __init__(self, playout: Playout, sample_rate: int, *, replies: int, limit: float) -> None:
        """`replies`: numbers used so far; `limit`: seconds of sound that may wait to be heard."""
        self._playout = playout
        self._room = samples(limit, sample_rate)
        self.replies = replies
        """Reply numbers used on the leg's playout."""
        self._base = 0
        """Samples that were sent before the present reply."""
        self._written = 0
        """Samples of the present reply."""
        self._stretches: deque[_Stretch] = deque(maxlen=_MOST_STRETCHES)
        self._marks: dict[int, list[str]] = {}
        self._next_mark = 1
        self._names = 0
        self.refused = 0
        """Samples for which there was no room."""
        self.marks_early = 0
        """Marks told before their time, because too many waited."""

    @property
    def sent(self) -> int:
        """Samples that were really sent."""
        return self._base + (self._playout.position() if self._written else 0)

    @property
    def waiting(self) -> int:
        """Samples that are still to be sent."""
        return self._base + self._written - self.sent

    def play(self, pcm: Pcm, tag: str = "") -> int:
        """Queue sound at the leg's rate; returns the samples taken. What finds no room is lost, counted."""
        waiting = self.waiting
        if self._written and not waiting:  # the last stretch was heard out
            self._base += self._written
            self._written = 0
        room = self._room - waiting
        if not self._written:
            self.replies += 1
        taken = self._playout.write(pcm[:room], self.replies) if room > 0 and len(pcm) else 0
        if not taken and not self._written:
            self.replies -= 1
        self._place(tag, taken)
        self._written += taken
        self.refused += len(pcm) - taken
        return taken

    def mark(self, name: str) -> bool:
        """Ask for this name once all sound so far was sent. False when too many wait: it counts as told."""
        if self._names >= MOST_NAMES:
            self.marks_early += 1
            return False
        self._names += 1
        if len(self._marks) >= MOST_MARKS:
            self._marks[self._next_mark - 1].append(name)
            return True
        self._marks[self._next_mark] = [name]
        self._playout.mark(self._next_mark)
        self._next_mark += 1
        return True

    def reached(self, mark: int) -> list[str]:
        """A `PlayoutMark` came: the names that wait for it, and any before it, in order."""
        names: list[str] = []
        while self._marks and (first := next(iter(self._marks))) <= mark:
            names += self._marks.pop(first)
        self._names -= len(names)
        return names

    def clear(self) -> list[str]:
        """Fall silent at once; returns the names of all marks that waited, in order."""
        heard = self._playout.clear()
        self._base += min(heard, self._written)
        self._written = 0
        for stretch in self._stretches:
            stretch.samples = min(stretch.samples, max(0, self._base - stretch.start))
        names = [name for waiting in self._marks.values() for name in waiting]
        self._marks.clear()
        self._names = 0
        return names

    def heard(self, tag: str) -> Heard:
        """How far this tag's sound got."""
        sent = self.sent
        mine = [stretch for stretch in self._stretches if stretch.tag == tag]
        reached = sum(min(stretch.samples, max(0, sent - stretch.start)) for stretch in mine)
        return Heard(reached, sum(stretch.given for stretch in mine))

    def _place(self, tag: str, taken: int) -> None:
        start = self._base + self._written
        last = self._stretches[-1] if self._stretches else None
        if last is not None and last.tag == tag and last.start + last.samples == start:
            last.samples += taken
            last.given += taken
        elif taken:
            self._stretches.append(_Stretch(tag, start, taken, taken))
