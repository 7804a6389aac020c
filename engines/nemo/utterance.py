"""One utterance's sound on its way into the model: what waits, what the model has heard, what it owes.

Pure: time comes in as an argument. Whoever owns the scheduler owns the utterances, and holds its lock.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np

from engines.base import EngineError
from engines.nemo.geometry import Geometry
from engines.nemo.hot_words import HotWords
from engines.nemo.words import Token
from media.frame import Pcm


class Work(IntEnum):
    """What a step does for one stream."""

    CHUNK = 0
    """Advance by a full chunk."""
    PEEK = 1
    """Hear what is there as if it were all, and leave the stream's state as it was."""
    FINAL = 2
    """Hear the rest."""


class Post(Protocol):
    """Takes calls for the loops on which streams live."""

    def add(self, loop: AbstractEventLoop, call: Callable[[], None]) -> None: ...


class Listener(Protocol):
    """Whoever waits for an utterance's words. Called on the engine's thread; must not block."""

    def heard(self, utterance: Utterance, work: Work, tokens: Sequence[Token], post: Post) -> None:
        """What a step wrote. With `FINAL` the utterance is over; after `PEEK` it was not written for good."""

    def failed(self, utterance: Utterance, error: EngineError, post: Post) -> None:
        """The utterance broke; nothing more of it will come."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One stream's part in a step."""

    slot: int
    """Where the stream's state lies."""
    utterance: Utterance
    work: Work
    pcm: Pcm
    """Exactly `Geometry.need(first)` samples; behind the sound's end, zeros."""
    samples: int
    """Samples of `pcm` that are sound."""
    frames: int
    """New mel frames that are real; 0: nothing is left to hear, and no step is needed."""
    frames_before: int
    """Mel frames of the utterance that earlier steps heard; 0 for the first step."""
    ready: float
    """When it could have run."""

    @property
    def first(self) -> bool:
        """Is it the utterance's first step? Then the slot's state is void."""
        return self.frames_before == 0


class Utterance:
    """The sound between a start and an end."""

    def __init__(
        self, number: int, geometry: Geometry, listener: Listener, hot_words: HotWords | None = None
    ) -> None:
        self.number = number
        self.listener = listener
        self.hot_words = hot_words
        self.ended: float | None = None
        self.paused: float | None = None
        """When a peek was asked for that has not been taken yet."""
        self.over = False
        """Final given, failed or cancelled."""
        self._geometry = geometry
        self._waiting: deque[Pcm] = deque()
        self._buffered = 0
        self._pushed = 0
        self._frames = 0
        self._complete: deque[float] = deque()
        """When each chunk that waits was complete."""
        self._chunk_end = geometry.need(True)
        """Samples pushed that complete the next chunk."""

    @property
    def behind(self) -> float:
        """Seconds of sound that no step has taken."""
        return self._buffered / self._geometry.sample_rate

    def push(self, pcm: Pcm, now: float) -> None:
        """More sound, at the model's rate."""
        self._waiting.append(pcm)
        self._buffered += len(pcm)
        self._pushed += len(pcm)
        while self._pushed >= self._chunk_end:
            self._chunk_end += self._geometry.need(False)
            self._complete.append(now)

    def work(self) -> Work | None:
        """What a step could do for it now: a full chunk before all else."""
        if self._complete:
            return Work.CHUNK
        if self.ended is not None:
            return Work.FINAL
        return Work.PEEK if self.paused is not None else None

    def since(self) -> float:
        """When that work came up; only where there is work."""
        if self._complete:
            return self._complete[0]
        told = self.paused if self.ended is None else self.ended
        assert told is not None
        return told

    def due(self) -> float:
        """When that work should be done; only where there is work.

        A chunk before the next one is complete; a final in a quarter and a peek in half of that time.
        """
        chunk = self._geometry.chunk_seconds
        times = [self._complete[0] + chunk] if self._complete else []
        if self.ended is not None:
            times.append(self.ended + chunk / 4)
        if self.paused is not None:
            times.append(self.paused + chunk / 2)
        return min(times)

    def take(self, slot: int) -> Row:
        """The row for its work, which then counts as done."""
        work = self.work()
        assert work is not None, "nothing to do"
        first = self._frames == 0
        need, before = self._geometry.need(first), self._frames
        if work is Work.CHUNK:
            self._frames += self._geometry.frames(first)
            ready = self._complete.popleft()
            return Row(slot, self, work, self._read(need), need, self._frames - before, before, ready)
        told = self.ended if work is Work.FINAL else self.paused
        assert told is not None
        self.paused = None
        frames = self._geometry.frames_left(self._pushed, before)
        rest = np.zeros(need, np.int16)
        held = min(self._buffered, need)
        if held:
            rest[:held] = np.concatenate(self._waiting)[:held]
        return Row(slot, self, work, rest, held, frames, before, told)

    def drop(self) -> None:
        """Forget the sound: nobody wants its words any more."""
        self.over = True
        self.paused = None
        self._waiting.clear()
        self._complete.clear()
        self._buffered = 0

    def _read(self, count: int) -> Pcm:
        """The oldest samples, which stop waiting."""
        pieces: list[Pcm] = []
        missing = count
        while missing:
            piece = self._waiting.popleft()
            if len(piece) > missing:
                self._waiting.appendleft(piece[missing:])
                piece = piece[:missing]
            pieces.append(piece)
            missing -= len(piece)
        self._buffered -= count
        return np.concatenate(pieces)
