"""One passage across engines: what was heard is not said again, what was not is said by another voice.

While a voice is late, a second one begins with the rest of the text; whichever gives sound first goes on.
How long is waited follows from what the voice usually takes and from how much the caller still has to hear:
the change is made before the queue runs dry, where that can be.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator
from dataclasses import replace

import numpy as np
import structlog

from engines.base import (
    EngineError,
    EngineFailed,
    EngineRefused,
    EngineTimeout,
    SpeechChunk,
    Switch,
    Tts,
    TtsOptions,
)
from engines.router.bench import Bench, Member
from engines.router.pace import Pace
from engines.router.passage import USUAL_TEMPO, Passage
from engines.router.why import LATE, why
from media.clock import now
from media.frame import Pcm

log = structlog.get_logger(__name__)

_NOTHING: Pcm = np.zeros(0, np.int16)
_AHEAD = 8
"""Chunks of one voice that wait for the listener; then it waits."""
_MOST_RUNS = 3
_TRIES = 2
"""How often an engine is asked in one passage."""
_RETRY = 0.25
_SUSPECT = 0.05
"""Seconds that an engine which just failed somebody else is waited for."""
_LONGEST = 1.5
"""Seconds that a voice may be waited for in any case, however much there is still to hear."""
_MARGIN = 0.2
_LONG_ENOUGH = 0.5
"""Seconds of speech from which a tempo can be learned,"""
_NEWS = 0.2
"""and how much of it is believed."""
_SPARE = 0.06
"""Seconds of sound that shall be left when another voice takes over."""
_SOONEST = 0.05
"""No change is made sooner than this after the last sound was taken."""


class Run:
    """One engine speaking one text."""

    def __init__(self, member: Member[Tts], text: str, options: TtsOptions, wake: asyncio.Event) -> None:
        self.member = member
        self.since = now()
        self.text = text
        self.chunks: deque[SpeechChunk] = deque()
        self.over = False
        self.came: float | None = None
        """When its first chunk came."""
        self.taken = False
        """Sound of it was given."""
        self.error: EngineError | None = None
        self._options = options
        self._wake = wake
        self._room = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._read(), name=f"speak-{member.name}")
        member.running += 1

    def next(self) -> SpeechChunk:
        """The next chunk that waits."""
        self._room.set()
        return self.chunks.popleft()

    async def close(self) -> None:
        """Stop it. Once."""
        self.member.running -= 1
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        try:
            await self._collect()
            self.over = True
        except EngineError as error:
            self.error = error
        except Exception as bug:
            log.exception("a voice broke", engine=self.member.name)
            self.error = EngineFailed(f"it broke: {type(bug).__name__}")
        finally:
            self._wake.set()

    async def _collect(self) -> None:
        source = self.member.serving.speak(self.text, self._options)
        try:
            async for chunk in source:
                self.came = now() if self.came is None else self.came
                self.chunks.append(chunk)
                self._wake.set()
                while len(self.chunks) >= _AHEAD:
                    self._room.clear()
                    await self._room.wait()
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()


class RoutedSpeech:
    """One `speak`."""

    def __init__(self, bench: Bench[Tts], text: str, options: TtsOptions) -> None:
        self._bench = bench
        self._options = options
        self._passage = Passage(text, options.sample_rate, options.speed)
        self._runs: list[Run] = []
        """The first is believed; those after it were begun because it is late."""
        self._speaking: Run | None = None
        """Whose sound was given last."""
        self._lost: tuple[str, str] | None = None
        """Name of the engine that nobody has replaced yet, and why it was left."""
        self._closing: list[Run] = []
        self._tries: Counter[Member[Tts]] = Counter()
        self._refused: set[Member[Tts]] = set()
        self._error: EngineError | None = None
        self._wake = asyncio.Event()
        self._asked = self._waiting = now()
        """When the passage was asked for; since when the listener waits for more."""
        self._not_before = 0.0
        self._dry = now() + options.ahead if options.ahead > 0 else None
        """When the caller will have heard all that he was given; None: nothing yet."""

    async def chunks(self) -> AsyncGenerator[SpeechChunk, None]:
        """The passage's sound. Raises `EngineError` when no engine can finish it."""
        try:
            while (run := await self._next_to_tell()) is not None:
                if run is not self._speaking:
                    tail = self._believe(run)
                    if len(tail):
                        yield SpeechChunk(tail, engine=run.member.name)
                over = not run.chunks
                part = self._passage.finish() if over else self._passage.take(run.next())
                if len(part.pcm) or part.words:
                    self._gave(run)
                    began = now()
                    yield replace(part, engine=run.member.name)
                    self._heard(len(part.pcm), began)
                if over:
                    self._learn_tempo(run)
                    return
        finally:
            for run in [*self._runs, *self._closing]:
                await run.close()

    # ----------------------------------------------------------------------------------------- the runs

    async def _next_to_tell(self) -> Run | None:
        """The run that has a chunk, or spoke to its end; None when nothing is left to be said."""
        while True:
            await self._drop_failed()
            while self._closing:
                await self._closing.pop().close()
            for run in self._runs:
                if run.chunks or run.over:
                    return run
            if not self._runs and not self._launch():
                if not self._rest():
                    return None
                raise self._error or self._bench.refusal(self._options.data)
            self._wake.clear()
            try:
                async with asyncio.timeout_at(self._due()):
                    await self._wake.wait()
            except TimeoutError:
                if not self._rest():  # all is said, but for the engine's word that it is
                    return None
                if now() >= self._waiting + self._bench.settings.give_up:
                    raise EngineTimeout(f"no sound within {now() - self._waiting:.1f} s") from None
                if not self._hedge():
                    self._not_before = now() + _RETRY

    async def _drop_failed(self) -> None:
        for run in [run for run in self._runs if run.error is not None and not run.chunks]:
            error = run.error
            assert error is not None
            if run is self._runs[0]:
                self._lost = (run.member.name, why(error))
            self._runs.remove(run)
            self._error = error
            if isinstance(error, EngineRefused):
                self._refused.add(run.member)
            self._bench.report(run.member, error)
            await run.close()

    def _hedge(self) -> bool:
        """The last run is late: have another engine begin as well."""
        return len(self._runs) < _MOST_RUNS and self._bench.may_hedge() and self._launch()

    def _launch(self) -> bool:
        """Have the best engine that is not at it speak what is left. False: there is none, or nothing."""
        rest = self._rest()
        used = {run.member for run in self._runs} | self._refused
        ranked = [m for m in self._bench.ranked(self._options.data) if m not in used]
        ranked = sorted((m for m in ranked if self._tries[m] < _TRIES), key=lambda m: self._tries[m])
        if not ranked or not rest:
            return False
        member = ranked[0]
        self._tries[member] += 1
        self._runs.append(Run(member, rest, self._options_for(member), self._wake))
        return True

    def _options_for(self, member: Member[Tts]) -> TtsOptions:
        """As the call asks, with the engine's own voice where it has none of that name."""
        voice = self._options.voice
        known = member.engine.voices
        ahead = 0.0 if self._dry is None else max(0.0, self._dry - now())
        voice = voice if not known or voice in known or len(self._bench.members) == 1 else ""
        return replace(self._options, voice=voice, ahead=ahead, on_switch=None)

    def _rest(self) -> str:
        return self._passage.rest(self._tempo())

    def _tempo(self) -> float:
        return self._speaking.member.tempo if self._speaking is not None else USUAL_TEMPO

    # --------------------------------------------------------------------------------- who is believed

    def _believe(self, run: Run) -> Pcm:
        """Sound comes from another engine than before, which goes on alone; returns the old one's last."""
        bench, first = self._bench, self._runs[0]
        before = self._speaking
        tail = self._passage.hand_over(self._tempo()) if before is not None else _NOTHING
        if run is not first:
            bench.missed(first.member, f"no sound in time, and {run.member.name} had it")
            what, since = ("gap", self._waiting) if first is before else ("sound", first.since)
            self._pace(first.member, what).took(now() - since)
            self._lost = (first.member.name, LATE)
        for other in self._runs:
            if other is not run:
                self._closing.append(other)
        self._runs = [run]
        self._speaking = run
        if run.came is not None:
            self._pace(run.member, "sound").took(run.came - run.since)
        if self._lost is not None and self._lost[0] != run.member.name:
            gap = max(0.0, now() - (self._asked if self._dry is None else self._dry))
            switch = Switch("tts", self._lost[0], run.member.name, self._lost[1], now(), gap)
            bench.switched(switch, self._options.on_switch)
            bench.settled(switch)
        self._lost = None
        return tail

    def _gave(self, run: Run) -> None:
        """It is alive, and how long did it let us wait?"""
        self._bench.worked(run.member)
        if run.taken:
            self._pace(run.member, "gap").took(now() - self._waiting)
        run.taken = True

    def _learn_tempo(self, run: Run) -> None:
        """How quickly it speaks, from a passage that is all its own."""
        seconds = self._passage.given / self._options.sample_rate * self._options.speed
        if run.text == self._passage.text and seconds > _LONG_ENOUGH:
            run.member.tempo += _NEWS * (len(run.text) / seconds - run.member.tempo)

    def _heard(self, count: int, began: float) -> None:
        """The listener took samples, offered at `began`, and comes back for more."""
        self._waiting = now()
        seconds = count / self._options.sample_rate
        self._dry = (self._waiting if self._dry is None else max(self._dry, began)) + seconds

    def _pace(self, member: Member[Tts], what: str) -> Pace:
        settings = self._bench.settings
        return self._bench.pace(member, what, settings.gap if what == "gap" else settings.first_sound)

    def _due(self) -> float:
        """When the last run is late. What the caller still has to hear grants time, and bounds it."""
        run = self._runs[-1]
        what, since = ("gap", self._waiting) if run is self._speaking else ("sound", run.since)
        limit = self._pace(run.member, what).limit
        if run.member.failed > max(since, run.member.proved):  # it failed another call meanwhile
            limit = min(limit, _SUSPECT)
        due = since + limit
        if self._dry is not None:
            usual = self._usual_of_next()
            due = max(due, min(self._dry - 3 * usual - _MARGIN, since + _LONGEST))
            due = max(since + _SOONEST, min(due, self._dry - usual - _SPARE))
        return max(due, self._not_before)

    def _usual_of_next(self) -> float:
        """How long whoever would take over usually takes to its first sound."""
        used = {run.member for run in self._runs} | self._refused
        others = [m for m in self._bench.ranked(self._options.data) if m not in used]
        return self._pace(others[0], "sound").usual if others else 0.0
