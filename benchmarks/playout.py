"""A device that speaks for many listeners, played through in virtual time.

The schedulers are the real ones; the device is a straight line per kind of work, as measured or as assumed,
with seeded jitter. What each listener hears is counted chunk by chunk: when the first sound came, and which
chunks came after the listener had run dry.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from engines.coqui.scheduler import Full, Read, Refuse, Rest, SpeechScheduler, Step, Voice, Work


@dataclass(frozen=True, slots=True)
class Line:
    """Seconds of one piece of work: a fixed part, and one for each unit of its size."""

    fixed: float
    each: float

    def __call__(self, size: float) -> float:
        return self.fixed + self.each * size

    def faster(self, times: float) -> Line:
        return Line(self.fixed / times, self.each / times)


@dataclass(frozen=True, slots=True)
class Device:
    """How long its work takes."""

    read: Line
    """By tokens of prompts."""
    step: Line
    """By rows."""
    voice: Line
    """By tokens made into samples."""
    jitter: float = 0.1
    """Largest share by which a piece of work takes longer or shorter."""
    token: float = 1024 / 22050
    held: float = 0.1

    def faster(self, times: float) -> Device:
        """A device of the same kind, so many times as fast."""
        read, step, voice = (line.faster(times) for line in (self.read, self.step, self.voice))
        return replace(self, read=read, step=step, voice=voice)


@dataclass(slots=True)
class Talk:
    """A passage somebody wants to hear: when, and the tokens of each of its stretches."""

    at: float
    stretches: Sequence[int]
    prompt: int = 70
    ahead: float = 0.0
    began: float | None = None
    """When its first sound came."""
    dry: float = 0.0
    """When its listener has heard everything so far."""
    chunks: int = 0
    late: int = 0
    silence: float = 0.0
    """Seconds of gaps within the speech."""
    done: bool = False
    refused: bool = False
    _stretch: int = 0
    _tokens: int = 0
    _sent: float = 0.0

    def hears(self, seconds: float, now: float) -> None:
        """A chunk arrives."""
        if seconds <= 0:
            return
        self.chunks += 1
        if self.began is None:
            self.began, self.dry = now, max(now, self.at + self.ahead)
        elif now > self.dry:
            self.late += 1
            self.silence += now - self.dry
        self.dry = max(self.dry, now) + seconds

    @property
    def waited(self) -> float:
        """Seconds to the first sound."""
        assert self.began is not None
        return self.began - self.at


class Scheduler(Protocol):
    """What the simulation drives; see `SpeechScheduler`."""

    def offer(
        self, row: int, prompt: int, due: float, *, playing: bool = False, follows: bool = False
    ) -> None: ...
    def forget(self, row: int) -> None: ...
    def next(self, now: float) -> Work: ...
    def was_read(self, rows: tuple[int, ...], took: float, ended: tuple[int, ...] = ()) -> None: ...
    def stepped(self, rows: tuple[int, ...], ended: tuple[int, ...], took: float) -> None: ...
    def voiced(self, speech: dict[int, float], now: float, took: float) -> None: ...


@dataclass
class Played:
    """What came of it."""

    talks: list[Talk]
    seconds: float = 0.0
    work: dict[str, float] = field(default_factory=dict)

    @property
    def heard(self) -> list[Talk]:
        return [talk for talk in self.talks if talk.began is not None]

    @property
    def chunks(self) -> int:
        return sum(talk.chunks for talk in self.talks)

    @property
    def late(self) -> int:
        return sum(talk.late for talk in self.talks)


class Play:
    """One run: `run` returns when every talk was spoken or refused."""

    def __init__(self, scheduler: Scheduler, device: Device, talks: Iterable[Talk], seed: int = 0) -> None:
        self._scheduler = scheduler
        self._device = device
        self._coming = sorted(talks, key=lambda talk: talk.at)
        self._played = Played(list(self._coming))
        self._talks: dict[int, Talk] = {}
        self._rows = 0
        self._random = random.Random(seed)
        self._now = 0.0

    def run(self) -> Played:
        while self._coming or self._talks:
            self._arrive()
            work = self._scheduler.next(self._now)
            if isinstance(work, Rest):
                self._rest(work)
            elif isinstance(work, Refuse):
                for row in work.rows:
                    self._talks.pop(row).refused = True
                    self._scheduler.forget(row)
            else:
                self._do(work)
        self._played.seconds = self._now
        return self._played

    def _arrive(self) -> None:
        while self._coming and self._coming[0].at <= self._now:
            talk = self._coming.pop(0)
            try:
                self._begin(talk, talk.at + talk.ahead, playing=talk.ahead > 0)
            except Full:
                talk.refused = True

    def _begin(self, talk: Talk, due: float, *, playing: bool) -> None:
        self._rows += 1
        follows = talk._stretch + 1 < len(talk.stretches)
        self._scheduler.offer(self._rows, talk.prompt, due, playing=playing, follows=follows)
        self._talks[self._rows] = talk
        talk._tokens, talk._sent = 0, 0.0

    def _rest(self, work: Rest) -> None:
        times = [talk.at for talk in self._coming[:1]] + ([work.until] if work.until is not None else [])
        assert times, "the scheduler sleeps while rows wait"
        assert min(times) > self._now, "the scheduler sleeps without sleeping"
        self._now = min(times)

    def _do(self, work: Read | Step | Voice) -> None:
        talks = [self._talks[row] for row in work.rows]
        if isinstance(work, Read):
            took = self._takes("read", self._device.read(sum(talk.prompt for talk in talks)))
            self._scheduler.was_read(work.rows, took, self._gained(work.rows, talks))
        elif isinstance(work, Step):
            took = self._takes("step", self._device.step(len(talks)))
            self._scheduler.stepped(work.rows, self._gained(work.rows, talks), took)
        else:
            self._voice(work, talks)

    def _gained(self, rows: tuple[int, ...], talks: list[Talk]) -> tuple[int, ...]:
        """One token more for each; returns the rows that have all of theirs."""
        for talk in talks:
            talk._tokens += 1
        return tuple(row for row, talk in zip(rows, talks, strict=True) if self._whole(talk))

    def _voice(self, work: Voice, talks: list[Talk]) -> None:
        sizes = [talk._tokens - talk._sent / self._device.token for talk in talks]
        took = self._takes("voice", self._device.voice(sum(sizes)))
        speech = {}
        for row, talk in zip(work.rows, talks, strict=True):
            held = 0.0 if self._whole(talk) else self._device.held
            speech[row] = max(0.0, talk._tokens * self._device.token - held - talk._sent)
            talk._sent += speech[row]
            talk.hears(speech[row], self._now)
        self._scheduler.voiced(speech, self._now, took)
        for row, talk in zip(work.rows, talks, strict=True):
            if self._whole(talk):
                self._next_stretch(row, talk)

    def _next_stretch(self, row: int, talk: Talk) -> None:
        del self._talks[row]
        talk._stretch += 1
        if talk._stretch < len(talk.stretches):
            self._begin(talk, talk.dry, playing=True)
        else:
            talk.done = True

    def _whole(self, talk: Talk) -> bool:
        return talk._tokens >= talk.stretches[talk._stretch]

    def _takes(self, kind: str, seconds: float) -> float:
        jitter = self._device.jitter
        took = seconds * (1 + self._random.uniform(-jitter, jitter))
        self._now += took
        self._played.work[kind] = self._played.work.get(kind, 0.0) + took
        return took


def taught(scheduler: SpeechScheduler, device: Device) -> SpeechScheduler:
    """As after a warm-up that has tried each kind of work in two sizes."""
    for size in (1, 4):
        scheduler.reading.learn(70 * size, device.read(70 * size))
        scheduler.stepping.learn(size, device.step(size))
        scheduler.voicing.learn(8 * size, device.voice(8 * size))
    return scheduler


class FixedChunks:
    """The way of the library's stream: chunks of 20 tokens, first come first served, nobody turned away.

    `rows` 1 is the library itself, whose stream cannot serve two at a time.
    """

    def __init__(self, rows: int, chunk: int = 20) -> None:
        self._most, self._chunk = rows, chunk
        self._waiting: list[int] = []
        self._pending: dict[int, int] = {}
        self._ended: set[int] = set()

    def offer(
        self, row: int, prompt: int, due: float, *, playing: bool = False, follows: bool = False
    ) -> None:
        self._waiting.append(row)

    def forget(self, row: int) -> None:
        self._pending.pop(row, None)

    def next(self, now: float) -> Work:
        ready = tuple(r for r, n in self._pending.items() if n >= self._chunk or r in self._ended)
        if ready:
            return Voice(ready)
        room = self._most - len(self._pending)
        if self._waiting and room:
            return Read(tuple(self._waiting[:room]))
        return Step(tuple(self._pending)) if self._pending else Rest(None)

    def was_read(self, rows: tuple[int, ...], took: float, ended: tuple[int, ...] = ()) -> None:
        self._waiting = self._waiting[len(rows) :]
        self._pending.update(dict.fromkeys(rows, 1))
        self._ended.update(ended)

    def stepped(self, rows: tuple[int, ...], ended: tuple[int, ...], took: float) -> None:
        for row in rows:
            self._pending[row] += 1
        self._ended.update(ended)

    def voiced(self, speech: dict[int, float], now: float, took: float) -> None:
        for row in speech:
            self._pending[row] = 0
            if row in self._ended:
                self._ended.discard(row)
                del self._pending[row]
