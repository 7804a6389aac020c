"""What runs in the thread that owns an XTTS model: the scheduler's work, done for the passages' rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

import structlog

from engines.base import EngineBusy, EngineError, EngineFailed, SpeechChunk
from engines.coqui.mail import Mail
from engines.coqui.scheduler import Full, Read, Refuse, Rest, SpeechScheduler, Step
from engines.coqui.sound import Leg, Loudness, Stretching
from engines.loudness import SILENCE, Samples

log = structlog.get_logger(__name__)

_LEARN = 0.3
"""How much one stretch tells of a voice's usual level."""


class Prompt(Protocol):
    """A text that is ready to be spoken."""

    @property
    def length(self) -> int: ...


class TokenModel(Protocol):
    """What the bench needs of a model; see `XttsModel`."""

    rate: int

    def read(self, prompts: dict[int, Any]) -> tuple[int, ...]: ...
    def step(self, rows: Sequence[int]) -> tuple[int, ...]: ...
    def voice(self, rows: Sequence[int]) -> dict[int, Samples]: ...
    def forget(self, row: int) -> None: ...


@dataclass(eq=False)
class Passage:
    """One `speak` call."""

    stretches: deque[tuple[Any, float]]
    """Prompts that have not begun, each with the seconds of silence after it."""
    voice: str
    rate: int
    due: float
    playing: bool
    mail: Mail[SpeechChunk]
    row: int = 0
    pause: float = 0.0
    leg: Leg | None = None
    sound: Stretching | None = None
    ended: bool = False
    """The row has all its tokens."""
    prompt: Any = None


class XttsBench:
    """Passages in, chunks out. Used by one thread only."""

    def __init__(
        self, model: TokenModel, scheduler: SpeechScheduler, loudness: Loudness, clock: Callable[[], float]
    ) -> None:
        self._model = model
        self.scheduler = scheduler
        self._loudness = loudness
        self._clock = clock
        self._ids = count(1)
        self._rows: dict[int, Passage] = {}
        self.gains: dict[str, float] = {}
        """dB that each voice usually needs."""
        self.failed = 0

    def begin(self, passage: Passage) -> None:
        """Take a passage on; a full bench tells it `EngineBusy`."""
        passage.leg = Leg(self._model.rate, passage.rate)
        self._next_stretch(passage)

    def cancel(self, passage: Passage) -> None:
        """Drop it before the next token. Idempotent."""
        passage.stretches.clear()
        self._drop(passage)

    def close(self) -> None:
        """Tell everybody who still waits."""
        for passage in list(self._rows.values()):
            self._fail(passage, EngineFailed("the voice was closed"))

    def turn(self, now: float) -> float | None:
        """One piece of work; see `ModelThread.work`."""
        work = self.scheduler.next(now)
        if isinstance(work, Rest):
            return None if work.until is None else max(0.0, work.until - now)
        if isinstance(work, Refuse):
            for row in work.rows:
                self._fail(self._rows[row], EngineBusy("no room to begin: the device serves others"))
        elif isinstance(work, Read):
            self._read(work.rows)
        elif isinstance(work, Step):
            self._step(work.rows)
        else:
            self._voice(work.rows)
        return 0.0

    def _read(self, rows: tuple[int, ...]) -> None:
        began = self._clock()
        done = self._safely(rows, lambda some: self._model.read({r: self._rows[r].prompt for r in some}))
        ended = self._ended(done)
        self.scheduler.was_read(tuple(r for some, _ in done for r in some), self._clock() - began, ended)

    def _step(self, rows: tuple[int, ...]) -> None:
        began = self._clock()
        done = self._safely(rows, self._model.step)
        ended = self._ended(done)
        self.scheduler.stepped(tuple(r for some, _ in done for r in some), ended, self._clock() - began)

    def _ended(self, done: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> tuple[int, ...]:
        ended = tuple(row for _, over in done for row in over)
        for row in ended:
            self._rows[row].ended = True
        return ended

    def _voice(self, rows: tuple[int, ...]) -> None:
        began = self._clock()
        done = self._safely(rows, self._model.voice)
        took = self._clock() - began
        speech = {row: self._deliver(self._rows[row], pcm) for _, made in done for row, pcm in made.items()}
        self.scheduler.voiced(speech, self._clock(), took)
        for row, seconds in speech.items():
            passage = self._rows[row]
            passage.playing = passage.playing or seconds > 0
            passage.due = max(passage.due, self._clock()) + seconds
            if passage.ended:
                self._learn(passage)
                self._drop(passage)
                self._next_stretch(passage)

    def _deliver(self, passage: Passage, pcm: Samples) -> float:
        """Hand over what has come of a passage; returns the seconds that its listener got."""
        assert passage.sound is not None and passage.leg is not None
        heard = passage.sound.push(pcm, last=passage.ended)
        chunk = passage.leg.push(heard, passage.pause if passage.ended else 0.0)
        if len(chunk):
            passage.mail.put(SpeechChunk(chunk))
        return len(chunk) / passage.rate

    def _next_stretch(self, passage: Passage) -> None:
        assert passage.leg is not None
        if not passage.stretches:
            rest = passage.leg.flush()
            if len(rest):
                passage.mail.put(SpeechChunk(rest))
            passage.mail.put(None)
            return
        passage.prompt, passage.pause = passage.stretches.popleft()
        passage.row, passage.ended = next(self._ids), False
        gain = self.gains.get(passage.voice, 0.0)
        passage.sound = Stretching(self._model.rate, self._loudness, gain)
        follows = bool(passage.stretches)
        try:
            length = passage.prompt.length
            self.scheduler.offer(passage.row, length, passage.due, playing=passage.playing, follows=follows)
        except Full:
            passage.mail.put(EngineBusy("too many passages wait for the voice"))
        else:
            self._rows[passage.row] = passage

    def _learn(self, passage: Passage) -> None:
        assert passage.sound is not None
        if passage.sound.level != SILENCE:
            wanted = self._loudness.gain(passage.sound.level)
            usual = self.gains.get(passage.voice)
            self.gains[passage.voice] = wanted if usual is None else usual + _LEARN * (wanted - usual)

    def _safely(
        self, rows: tuple[int, ...], work: Callable[[tuple[int, ...]], Any]
    ) -> list[tuple[tuple[int, ...], Any]]:
        """The work's results for the rows that it succeeds for: a row that breaks its batch is found by
        halving, and alone pays for it."""
        try:
            return [(rows, work(rows))] if rows else []
        except Exception as error:
            if len(rows) == 1:
                log.exception("a passage broke the voice", rows=1)
                told = error if isinstance(error, EngineError) else EngineFailed(f"the voice broke: {error}")
                self.failed += 1
                self._fail(self._rows[rows[0]], told)
                return []
            half = len(rows) // 2
            return [*self._safely(rows[:half], work), *self._safely(rows[half:], work)]

    def _fail(self, passage: Passage, error: EngineError) -> None:
        passage.stretches.clear()
        self._drop(passage)
        passage.mail.put(error)

    def _drop(self, passage: Passage) -> None:
        if self._rows.pop(passage.row, None) is not None:
            self.scheduler.forget(passage.row)
            self._model.forget(passage.row)
