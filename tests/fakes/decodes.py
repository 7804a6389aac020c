"""Decode threads and an ear that do what a test tells them, when it tells them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engines.base import EngineBusy
from engines.embedded.decode_pool import Outcome, Priority, Ticket, Work
from engines.embedded.moonshine_ear import Heard, Stretch
from engines.embedded.moonshine_tokens import SpokenWord


@dataclass
class HeldJob:
    """Work that waits until the test runs it."""

    priority: Priority
    work: Work[Any]
    done: Callable[[Outcome[Any]], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True

    def promote(self) -> None:
        self.priority = Priority.FINAL


@dataclass
class HeldPool:
    """Serves `Pool`; nothing runs until `run`."""

    jobs: list[HeldJob] = field(default_factory=list)
    shed: set[Priority] = field(default_factory=set)
    """What is shed at once."""
    full: bool = False

    def submit(
        self, priority: Priority, work: Work[Any], done: Callable[[Outcome[Any]], None]
    ) -> Ticket | None:
        if self.full and priority is Priority.FINAL:
            raise EngineBusy("full")
        if priority in self.shed:
            return None
        job = HeldJob(priority, work, done)
        self.jobs.append(job)
        return job

    @property
    def waiting(self) -> list[Priority]:
        return [job.priority for job in self.jobs if not job.cancelled]

    def run(self) -> None:
        """Run everything that was asked for, in the order of asking."""
        while self.jobs:
            self.run_one()

    def run_one(self, place: int = 0) -> None:
        job = self.jobs.pop(place)
        if not job.cancelled:
            try:
                outcome = Outcome(job.work(lambda: job.cancelled))
            except RuntimeError as error:
                outcome = Outcome(error=error)
            job.done(outcome)

    def drop(self, place: int = 0) -> None:
        """Shed one job after it was queued."""
        self.jobs.pop(place).done(Outcome())


@dataclass
class TellingEar:
    """Serves `Listener`: the next answer of a list, or the seconds it was given as "1 2 3"."""

    answers: list[str] = field(default_factory=list)
    heard: list[Stretch] = field(default_factory=list)
    breaks: bool = False

    def hear(self, stretch: Stretch, aborted: Callable[[], bool]) -> Heard:
        self.heard.append(stretch)
        if self.breaks:
            raise RuntimeError("out of memory")
        seconds = len(stretch.pcm) // stretch.sample_rate
        text = self.answers.pop(0) if self.answers else " ".join(str(n + 1) for n in range(seconds))
        words = tuple(SpokenWord(word, 0.9) for word in text.split())
        return Heard(text, words, 0.9, tuple(range(len(words))), None)

    glimpse = hear
