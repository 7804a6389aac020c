"""One call's recognition across engines: no word lost, none twice.

    start, push, pause, end ──▶ every line ──▶ an engine's stream ──▶ transcripts ──▶ believed? ──▶ results
                    │                                                                    ▲
                    └─ unfinished segments, kept with their sound ── replayed to ── a second line, when late

One line is believed at a time. When its engine breaks, or an answer is late, the unfinished segments are
heard again, from their first sample, by another engine on a second line; whichever line answers first is
believed from then on, and the other is closed. So a segment gets its final once, from one engine.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from engines.base import (
    Asr,
    AsrOptions,
    AsrStream,
    EngineError,
    EngineRefused,
    Switch,
    Transcript,
)
from engines.router.bench import Bench, Member
from engines.router.line import Line, Segment
from engines.router.why import DOWN, LATE, PREFERRED, why
from media.clock import now
from media.frame import FRAME_MS, AudioFrame

_MOST_SEGMENTS = 6
"""Unfinished segments kept: the open one, and those whose final is still awaited."""
_MOST_LINES = 3
_UNREAD = 256
"""Transcripts that may wait for the reader; then the oldest go."""
_RETRY = 0.25
"""Seconds before engines are looked at again when none works."""
_SUSPECT = 0.05
"""Seconds that an engine which just failed somebody else is waited for."""


@dataclass(slots=True)
class _Lost:
    """The line that is to be replaced, until another one has taken over."""

    source: str
    why: str


class RoutedStream:
    """Serves `AsrStream` over the engines of a bench."""

    def __init__(self, bench: Bench[Asr], options: AsrOptions) -> None:
        """Take a place at the best engine. Raises `EngineError` when none takes the call."""
        self._bench = bench
        self._options = options
        self._segments: dict[int, Segment] = {}
        self._open: Segment | None = None
        self._lines: list[Line] = []
        """The first is believed; those after it were asked because it is late."""
        self._refused: set[Member[Asr]] = set()
        self._lost: _Lost | None = None
        self._switch: Switch | None = None
        """The last one, as long as its gap is unknown."""
        self._unread: deque[Transcript] = deque()
        self._error: EngineError | None = None
        self._news = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._refusal: EngineRefused | None = None
        if self._connect() is None:
            raise self._refusal or bench.refusal(options.data)

    # -------------------------------------------------------------------------------------------- orders

    def start(self, segment: int) -> None:
        """See `AsrStream.start`. Between two segments is the time to go to a better engine."""
        if self._closed:
            return
        self.end()
        self._prefer()
        kept = int(self._bench.settings.replay * 1000) // FRAME_MS
        self._open = self._segments[segment] = Segment(segment, now(), deque(maxlen=kept))
        while len(self._segments) > _MOST_SEGMENTS:
            del self._segments[next(iter(self._segments))]
        self._release()
        self._each(lambda stream: stream.start(segment))
        self._arm()

    def push(self, frame: AudioFrame) -> None:
        """See `AsrStream.push`."""
        if self._open is not None:
            self._open.frames.append(frame)
            for line in self._lines:
                line.stream.push(frame)

    def pause(self) -> None:
        """See `AsrStream.pause`."""
        if self._open is not None and not self._open.paused:
            self._open.paused = True
            self._open.asked = now()
            self._each(lambda stream: stream.pause())
            self._arm()

    def resume(self) -> None:
        """See `AsrStream.resume`."""
        if self._open is not None and self._open.paused:
            self._open.paused = False
            self._open.asked = None
            self._each(lambda stream: stream.resume())
            self._arm()

    def end(self) -> None:
        """See `AsrStream.end`."""
        segment, self._open = self._open, None
        if segment is not None:
            segment.ended = True
            if segment.asked is None or not (self._lines and self._lines[0].member.decodes_ahead):
                segment.asked = now()
            self._each(lambda stream: stream.end())
            self._arm()

    def cancel(self) -> None:
        """See `AsrStream.cancel`."""
        segment, self._open = self._open, None
        if segment is not None:
            self._segments.pop(segment.number, None)
            self._each(lambda stream: stream.cancel())
            self._arm()

    def forget(self, segment: int) -> None:
        """Nobody waits for the final of an ended segment any more: it is not heard again."""
        if self._open is not None and self._open.number == segment:
            self.cancel()
        elif self._segments.pop(segment, None) is not None:
            self._release()
            self._arm()

    async def results(self) -> AsyncIterator[Transcript]:
        """See `AsrStream.results`. While no engine works it waits; raises only what no engine will mend."""
        while True:
            while self._unread:
                yield self._unread.popleft()
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if self._closed:
                return
            self._news.clear()
            await self._news.wait()

    async def aclose(self) -> None:
        """See `AsrStream.aclose`."""
        if not self._closed:
            self._closed = True
            self._open = None
            self._segments.clear()
            if self._timer is not None:
                self._timer.cancel()
            for line in self._lines:
                self._hang_up(line)
            self._lines.clear()
            if self._switch is not None:
                self._settle(self._switch.gap)
            self._news.set()
        await asyncio.gather(*self._closing)

    def _each(self, order: Callable[[AsrStream], None]) -> None:
        """Give an order to every line; one that refuses it broke."""
        for line in tuple(self._lines):
            try:
                order(line.stream)
            except EngineError as error:
                self._broke(line, error)

    # ------------------------------------------------------------------------------------------- answers

    def _take(self, line: Line, transcript: Transcript) -> None:
        """An engine says something: is it what we wait for, and from the line that we believe?"""
        segment = self._segments.get(transcript.segment)
        if line not in self._lines or segment is None or segment.final is not None:
            return
        line.member.decodes_ahead |= transcript.early
        line.member.shows_words |= bool(transcript.text) and not (transcript.early or transcript.is_final)
        if self._answers(segment, transcript):
            self._believe(line, segment, transcript)
        elif line is not self._lines[0]:
            return
        if transcript.is_final:
            segment.final = transcript
            if self._open is segment:
                self._open = None
            self._release()
        elif transcript.early or self._may_show(segment, transcript):
            self._post(transcript)
        self._arm()

    def _release(self) -> None:
        """Finals in the order of their segments; an engine that lost one does not hold up those after it for
        longer than another engine needs."""
        for segment in tuple(self._segments.values()):
            if segment.final is None:
                return
            del self._segments[segment.number]
            self._post(segment.final)

    def _answers(self, segment: Segment, transcript: Transcript) -> bool:
        """Whether it is the progress that is due."""
        if transcript.is_final or transcript.early:
            return True
        return bool(transcript.text) and not segment.worded and segment.asked is None

    def _believe(self, line: Line, segment: Segment, transcript: Transcript) -> None:
        """The line answered, before all others."""
        bench, first, at = self._bench, self._lines[0], now()
        if segment.asked is not None or not (transcript.is_final or transcript.early):
            self._learn(line, first, segment, at)
        bench.worked(line.member)
        if line is not first:
            what = "first words" if segment.asked is None else "words"
            bench.missed(first.member, f"no {what} in time, and {line.member.name} had them")
            self._note(first.member.name, line.member.name, LATE)
        for other in self._lines:
            if other is not line:
                self._hang_up(other)
        self._lines = [line]
        if self._switch is not None:
            self._settle(0.0 if segment.asked is None else at - segment.asked)
        segment.worded = True
        segment.asked = at if segment.ended else None

    def _learn(self, line: Line, first: Line, segment: Segment, at: float) -> None:
        """How long it took; of an engine that was too late, how long it did not do it."""
        settings = self._bench.settings
        if segment.asked is None:
            what, limits, asked = "word", settings.first_word, segment.started
        else:
            what, limits, asked = "final", settings.final, segment.asked
        for each in {line, first}:
            if each.since <= asked:  # what was heard again says nothing of its pace
                self._bench.pace(each.member, what, limits).took(at - asked)

    def _may_show(self, segment: Segment, transcript: Transcript) -> bool:
        """Whether an interim keeps what was promised, perhaps by another engine."""
        if not transcript.text.startswith(segment.promised):
            return False
        segment.worded = segment.worded or bool(transcript.text)
        segment.promised = transcript.text[: max(transcript.stable_chars, len(segment.promised))]
        return True

    def _post(self, transcript: Transcript) -> None:
        last = self._unread[-1] if self._unread else None
        if last and not last.is_final and not last.early and last.segment == transcript.segment:
            self._unread.pop()
        if len(self._unread) >= _UNREAD:
            self._unread.popleft()
        self._unread.append(transcript)
        self._news.set()

    # --------------------------------------------------------------------------------- lateness, failure

    def _arm(self) -> None:
        """One timer, for what is due next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._closed:
            return
        due = self._due()
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._ring)

    def _due(self) -> float | None:
        """When the line that joined last is late with what the oldest segment needs."""
        if not self._lines:
            return now() + _RETRY
        if len(self._lines) >= _MOST_LINES:
            return None
        dues = [due for segment in self._segments.values() if (due := self._due_of(segment)) is not None]
        return min(dues, default=None)

    def _due_of(self, segment: Segment) -> float | None:
        if segment.final is not None:
            return None
        line, settings = self._lines[-1], self._bench.settings
        shows_words = self._options.interim and line.member.shows_words
        if segment.asked is not None and (segment.ended or line.member.decodes_ahead):
            limit = self._bench.pace(line.member, "final", settings.final).limit
            since = segment.asked
        elif segment.asked is None and not segment.worded and shows_words:
            limit = self._bench.pace(line.member, "word", settings.first_word).limit
            since = max(segment.started, line.member.proved)  # an engine that lives hears but noise
        else:
            return None
        if line.member.failed > max(since, line.member.proved):  # it failed another call meanwhile
            return max(since + min(limit, _SUSPECT), line.member.failed)
        return max(since, line.since) + limit

    def _ring(self) -> None:
        self._timer = None
        if self._closed:
            return
        if not self._lines:
            self._connect()
        elif (due := self._due()) is not None and now() >= due - 1e-6:
            if self._bench.may_hedge() and self._connect() is not None:
                self._bench.counts["hedged_streams"] += 1
            else:  # nobody else: wait for what there is
                self._give_up_lost()
                self._timer = asyncio.get_running_loop().call_later(_RETRY, self._ring)
                return
        self._arm()

    def _give_up_lost(self) -> None:
        """A final that its engine passed over, and nobody else can give, holds up no later one."""
        segments = list(self._segments.values())
        for number, segment in enumerate(segments):
            if segment.final is None and any(later.final is not None for later in segments[number:]):
                del self._segments[segment.number]
        self._release()

    def _broke(self, line: Line, error: EngineError) -> None:
        """A line is of no use any more."""
        if line not in self._lines:
            return
        self._bench.report(line.member, error)
        if isinstance(error, EngineRefused):
            self._refused.add(line.member)
        first = line is self._lines[0]
        self._lines.remove(line)
        self._hang_up(line)
        if first and self._lines:
            self._note(line.member.name, self._lines[0].member.name, why(error))
        elif first:
            self._lost = _Lost(line.member.name, why(error))
            if self._connect() is None and isinstance(error, EngineRefused) and self._hopeless():
                self._error = error
                self._news.set()
        self._arm()

    def _hopeless(self) -> bool:
        """Whether every engine that may hear this call refused it."""
        allowed = [m for m in self._bench.members if self._options.data.allows(m.data)]
        return all(member in self._refused for member in allowed)

    def _connect(self) -> Line | None:
        """A line to the best engine that has none yet, and all that is unfinished into it."""
        used = {line.member for line in self._lines} | self._refused
        for member in self._bench.ranked(self._options.data):
            if member in used:
                continue
            if (line := self._opened(member)) is not None:
                self._lines.append(line)
                if len(self._lines) == 1 and self._lost is not None:
                    lost, self._lost = self._lost, None
                    if lost.source != member.name:
                        self._note(lost.source, member.name, lost.why)
                return line
        return None

    def _opened(self, member: Member[Asr]) -> Line | None:
        options = replace(self._options, on_switch=None)
        try:
            stream = member.serving.stream(options)
            for segment in self._segments.values():
                if segment.final is None:
                    segment.replay(stream)
        except EngineError as error:
            self._bench.report(member, error)
            if isinstance(error, EngineRefused):
                self._refused.add(member)
                self._refusal = error
            return None
        return Line(member, stream, self._take, self._broke)

    def _prefer(self) -> None:
        """Between segments: leave an engine that another one is better than."""
        if self._segments or len(self._lines) != 1:
            return
        line = self._lines[0]
        usable = [m for m in self._bench.ranked(self._options.data) if m not in self._refused]
        if not usable or usable[0] is line.member:
            return
        best, here = usable[0], line.member
        fit = here.fit(now())
        if fit and best.rank >= here.rank:
            return
        if (other := self._opened(best)) is None:
            return
        self._lines = [other]
        self._hang_up(line)
        self._note(here.name, best.name, PREFERRED if fit else DOWN)

    def _note(self, source: str, target: str, why: str) -> None:
        """Another engine serves from now on."""
        if self._switch is not None:  # the one before it never gave anything
            self._settle(self._switch.gap)
        self._switch = Switch("asr", source, target, why, now())
        self._bench.switched(self._switch, self._options.on_switch)
        if not self._segments:
            self._settle(0.0)

    def _settle(self, gap: float) -> None:
        """What the switch cost is known."""
        switch, self._switch = self._switch, None
        assert switch is not None
        switch.gap = gap
        self._bench.settled(switch)

    def _hang_up(self, line: Line) -> None:
        task = asyncio.get_running_loop().create_task(line.close(), name="hang-up")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
