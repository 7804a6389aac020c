"""Which sentences are spoken together. Pure: the time comes in, batches go out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from engines.coqui.costs import Cost

_WASTE = 1.35
"""A batch is padded to its longest sentence: nothing joins that would bring it over this multiple."""


@dataclass(frozen=True, slots=True)
class Job:
    """A sentence that wants to be spoken."""

    id: int
    size: int
    """Its phonemes."""
    came: float
    due: float
    """When its listener has nothing more to hear."""
    playing: bool
    """It continues what somebody hears: being late is a gap, not a wait."""


@dataclass
class Gatherer:
    """Sentences of all calls, waiting for one device.

    Whoever would fall silent goes first, then whoever has waited longest; sentences of like length go along.
    """

    batch: int = 16
    window: float = 0.012
    margin: float = 0.05
    cost: Cost = field(default_factory=Cost)
    """By phonemes of a batch, padding included."""
    _jobs: dict[int, Job] = field(default_factory=dict)

    def add(self, job: Job) -> None:
        """One more."""
        self._jobs[job.id] = job

    def forget(self, job: int) -> None:
        """It is cancelled or spoken. Unknown ones are ignored."""
        self._jobs.pop(job, None)

    @property
    def waiting(self) -> int:
        """Sentences that nobody has begun to speak."""
        return len(self._jobs)

    def backlog(self) -> float:
        """Seconds that the device needs for all who wait."""
        return self.cost(sum(job.size for job in self._jobs.values())) if self._jobs else 0.0

    def next(self, now: float) -> tuple[list[Job], float | None]:
        """The next batch; or none, and when to ask again (None: not before the next sentence comes)."""
        if not self._jobs:
            return [], None
        leader = self._leader(now)
        ready = min(job.came for job in self._jobs.values()) + self.window
        if leader.playing and now + self.cost(leader.size) + self.margin >= leader.due:
            ready = now
        if len(self._jobs) < self.batch and ready > now:
            return [], ready
        chosen = self._with(leader, now)
        for job in chosen:
            del self._jobs[job.id]
        return chosen, 0.0

    def _leader(self, now: float) -> Job:
        """Whose turn it is: somebody about to run dry, else the oldest due."""
        oldest = min(self._jobs.values(), key=lambda job: (job.due, job.id))
        heard = [job for job in self._jobs.values() if job.playing]
        if oldest.playing or not heard:
            return oldest
        pressed = min(heard, key=lambda job: (job.due, job.id))
        both = self.cost(oldest.size) + self.cost(pressed.size) + self.margin
        return pressed if now + both > pressed.due else oldest

    def _with(self, leader: Job, now: float) -> list[Job]:
        """Sentences of like length that may come along, as many as nobody who is heard would feel."""
        chosen, longest = [leader], leader.size
        others = sorted(self._jobs.values(), key=lambda job: (job.due, job.id))
        for job in others:
            if len(chosen) == self.batch:
                break
            if job is leader:
                continue
            size = max(longest, job.size)
            real = sum(c.size for c in chosen) + job.size
            took = self.cost(size * (len(chosen) + 1))
            first = min((j.due for j in others if j.playing and j.due > now), default=math.inf)
            if size * (len(chosen) + 1) > _WASTE * real or now + took + self.margin > first:
                continue
            chosen.append(job)
            longest = size
        return chosen
