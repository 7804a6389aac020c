"""One live stream of one channel: frames in; speech, interims, finals and ends of utterances out.

    frames ─▶ voice bench ─▶ utterances ─┬─ Began, Stopped ────────────▶ events
                                         └─ recogniser ── Transcript ──▶ events

Knows no API: dialects translate its events. Its only clock is the loop's and the media's own count.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeAlias

import structlog

from engines.base import Asr, AsrOptions, EngineTimeout, Transcript, Word
from gateway.api.core.utterances import Began, Close, Feed, Open, Pause, Resume, Step, Stopped, Utterances
from gateway.api.core.voice_bench import VoiceBench
from gateway.api.core.word_places import placed
from gateway.calls.recognition import Recognition
from gateway.calls.settings import RecognitionSettings
from gateway.reserved_asr import ReservedAsr
from media.frame import AudioFrame
from media.segmenter import SegmenterSettings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ListenLimits:
    """Bounds of one stream."""

    finals_waiting: int = 2
    """1 to 16: ended utterances without their final; beyond it no more sound is taken."""
    events_waiting: int = 64
    """8 to 4096: events that the client has not read; beyond it no more sound is taken."""
    final_seconds: float = 15.0
    """0.05 to 600: a recogniser that gives no final for so long has failed."""
    longest_seconds: float = 60.0
    """5 to 600: sound of one utterance; a longer one is cut."""

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "finals_waiting": (1, 16),
            "events_waiting": (8, 4096),
            "final_seconds": (0.05, 600),
            "longest_seconds": (5, 600),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: give {low:g} to {high:g}")


@dataclass(frozen=True, slots=True)
class ListenAsk:
    """What a client wants of a stream."""

    options: AsrOptions
    """With the rate of the frames: 8000 or 16000."""
    endpoint_ms: int | None = 300
    """Silence that ends an utterance; None: only `finalize` does."""
    utterance_end_ms: int | None = None
    """Silence after the last word that makes an `UtteranceOver`; None: none."""
    segmenter: SegmenterSettings = field(default_factory=SegmenterSettings)


@dataclass(frozen=True, slots=True)
class Heard:
    """What was said in one utterance, so far or in the end. Times are seconds of the stream."""

    number: int
    """Of the utterance, from 1; 0 for an empty answer to `finalize`."""
    text: str
    words: tuple[Word, ...]
    confidence: float
    start: float
    end: float
    is_final: bool
    endpoint: bool = False
    """A final made by silence: they have finished speaking."""
    from_finalize: bool = False
    """The last final that a `finalize` asked for; may be empty."""


@dataclass(frozen=True, slots=True)
class UtteranceOver:
    """Silence after the last word for as long as the client wants to know of."""

    last_word_end: float


ListenEvent: TypeAlias = Began | Stopped | Heard | UtteranceOver
Condition: TypeAlias = Callable[[], bool]


@dataclass(slots=True)
class _Segment:
    first: float
    """Seconds of the stream before its first frame, which lies before the first voiced sample."""
    begins: float
    ends: float
    voiced: list[float] = field(default_factory=list)
    closed: Close | None = None
    finalized: bool = False


class Listening:
    """Serves one stream. One task pushes, one reads `events`; `aclose` frees everything."""

    def __init__(self, asr: Asr, bench: VoiceBench, ask: ListenAsk, limits: ListenLimits) -> None:
        """Takes a place at the recogniser. Raises `EngineBusy` or `EngineRefused`."""
        self._reserved = ReservedAsr(asr, ask.options)
        self._recognition = Recognition(self._reserved, ask.options, RecognitionSettings(), log)
        self._bench = bench
        self._leg = bench.open()
        self._ask = ask
        self._limits = limits
        self._utterances = Utterances(
            ask.segmenter,
            ask.options.sample_rate,
            endpoint_ms=ask.endpoint_ms,
            longest=limits.longest_seconds,
        )
        self._segments: dict[int, _Segment] = {}
        self._events: deque[ListenEvent] = deque()
        self._changed = asyncio.Event()
        self._relay = asyncio.get_running_loop().create_task(self._transcripts(), name="listening")
        self._relay.add_done_callback(lambda _: self._changed.set())
        self._finalizing: int | None = None
        self._last_word_end: float | None = None
        self._over = False
        self._broken: EngineTimeout | None = None

    @property
    def seconds(self) -> float:
        """Sound heard so far."""
        return self._utterances.seconds

    async def push(self, frames: Sequence[AudioFrame]) -> None:
        """Hear the next frames; waits while the recogniser or the reader is behind.

        Raises `EngineTimeout` or `EngineFailed`.
        """
        if not frames:
            return
        voices = await self._bench.judge(self._leg, frames)
        for frame, voice in zip(frames, voices, strict=True):
            for step in self._utterances.push(frame, voice):
                self._act(step)
                if isinstance(step, Close):
                    await self._settled(self._limits.finals_waiting - 1)
            self._notice_silence()
        await self.room()

    async def room(self) -> None:
        """Wait while too much is unread. Raises as `push` does."""
        await self._until(lambda: len(self._events) < self._limits.events_waiting)

    def finalize(self) -> None:
        """Everything said so far is wanted now: its last final, or an empty one, says `from_finalize`."""
        for step in self._utterances.flush():
            self._act(step)
        owed = [segment for segment in self._segments.values() if segment.closed]
        if owed:
            owed[-1].finalized = True
        else:
            self._post(_nothing(self.seconds))

    async def finish(self) -> None:
        """No more sound comes: waits for every final, then `events` ends. Raises as `push` does."""
        for step in self._utterances.flush():
            self._act(step)
        await self._settled(0)
        self.stop()

    async def events(self) -> AsyncIterator[ListenEvent]:
        """What was heard, in order, to the end. Raises what broke the recogniser. One reader only."""
        while True:
            while self._events:
                event = self._events.popleft()
                self._changed.set()
                yield event
            if self._over:
                return
            self._check()
            self._changed.clear()
            await self._changed.wait()

    def stop(self) -> None:
        """Nothing more is wanted: `events` ends after what was heard already."""
        self._over = True
        self._changed.set()

    async def aclose(self) -> None:
        """Give everything back. Idempotent."""
        self._over = True
        self._relay.cancel()
        await asyncio.gather(self._relay, return_exceptions=True)
        await self._reserved.aclose()
        self._bench.close(self._leg)
        self._changed.set()

    def _act(self, step: Step) -> None:
        match step:
            case Feed(frame=frame, voiced=voiced):
                self._feed(frame, voiced)
            case Began() | Stopped():
                self._post(step)
            case Open(number=number, begins=begins, frames=frames):
                self._segments[number] = _Segment(frames[0][0].media_time, begins, begins)
                self._recognition.start(number, [])
                for frame, voiced in frames:
                    self._feed(frame, voiced)
            case Pause():
                self._recognition.pause()
            case Resume():
                self._recognition.resume()
            case Close(number=number):
                self._segments[number].closed = step
                self._recognition.end()

    def _feed(self, frame: AudioFrame, voiced: bool) -> None:
        self._recognition.push(frame)
        segment = next(reversed(self._segments.values()), None)
        if segment is not None:
            segment.ends = frame.end_pts / frame.sample_rate
            if voiced:
                segment.voiced.append(frame.media_time)

    async def _transcripts(self) -> None:
        async with aclosing(self._recognition.results()) as transcripts:
            async for transcript in transcripts:
                segment = self._segments.get(transcript.segment)
                if segment is None or (transcript.early and not self._ask.options.interim):
                    continue
                if transcript.is_final:
                    del self._segments[transcript.segment]
                self._post(self._heard(transcript, segment))
                self._notice_silence()
                self._changed.set()

    def _heard(self, transcript: Transcript, segment: _Segment) -> Heard:
        closed = segment.closed
        ends = closed.ends if closed else segment.ends
        words = transcript.words and _shifted(transcript.words, segment.first)
        words = words or placed(transcript.text, segment.voiced, transcript.confidence)
        if transcript.is_final and words:
            self._last_word_end = words[-1].end
        return Heard(
            number=transcript.segment,
            text=transcript.text,
            words=words,
            confidence=transcript.confidence,
            start=segment.begins,
            end=max(ends, segment.begins),
            is_final=transcript.is_final,
            endpoint=transcript.is_final and closed is not None and closed.endpoint,
            from_finalize=transcript.is_final and segment.finalized,
        )

    def _notice_silence(self) -> None:
        wait = self._ask.utterance_end_ms
        if wait is None or self._last_word_end is None or self._segments or self._utterances.speaking:
            return
        if self.seconds - self._last_word_end >= wait / 1000:
            self._post(UtteranceOver(self._last_word_end))
            self._last_word_end = None

    def _post(self, event: ListenEvent) -> None:
        """A newer interim takes the place of one that nobody has read."""
        last = self._events[-1] if self._events else None
        if isinstance(event, Heard) and isinstance(last, Heard):
            if last.number == event.number and not last.is_final:
                self._events.pop()
        self._events.append(event)
        self._changed.set()

    async def _settled(self, owed: int) -> None:
        """Wait until at most so many ended utterances have no final."""
        try:
            async with asyncio.timeout(self._limits.final_seconds):
                await self._until(
                    lambda: sum(segment.closed is not None for segment in self._segments.values()) <= owed
                )
        except TimeoutError:
            self._broken = EngineTimeout(f"no final after {self._limits.final_seconds:g} s")
            self._changed.set()
            raise self._broken from None

    async def _until(self, good: Condition) -> None:
        while not good():
            self._check()
            self._changed.clear()
            await self._changed.wait()

    def _check(self) -> None:
        """Raises what broke the recogniser, for whoever waits on either side."""
        if self._broken is not None:
            raise self._broken
        if self._relay.done() and not self._relay.cancelled():
            self._relay.result()


def _nothing(at: float) -> Heard:
    return Heard(0, "", (), 0.0, at, at, is_final=True, from_finalize=True)


def _shifted(words: Sequence[Word], by: float) -> tuple[Word, ...]:
    return tuple(Word(word.text, word.start + by, word.end + by, word.confidence) for word in words)
