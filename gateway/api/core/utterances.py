"""Where utterances begin and end in a live stream: pure, counts samples, knows no engine and no clock.

The segmenter finds speech; this decides what is one utterance to the recogniser: speech with pauses shorter
than the client's endpoint in it, cut when the client says so or when it grows too long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from media.frame import AudioFrame, Voice
from media.segmenter import SegmenterSettings, SpeechEnded, SpeechSegmenter, SpeechStarted

SHORTEST_HANGOVER_MS = 50
"""The segmenter's own bound."""


@dataclass(frozen=True, slots=True)
class Began:
    """Somebody began to speak."""

    at: float
    """Seconds of the stream before the first voiced sample."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """They fell silent."""

    at: float
    """Seconds of the stream up to the last voiced sample."""


@dataclass(frozen=True, slots=True)
class Open:
    """An utterance begins, with these frames."""

    number: int
    begins: float
    frames: Sequence[tuple[AudioFrame, bool]]
    """Each with whether it is voiced."""


@dataclass(frozen=True, slots=True)
class Feed:
    """The open utterance's next frame."""

    frame: AudioFrame
    voiced: bool


@dataclass(frozen=True, slots=True)
class Pause:
    """It may be over."""


@dataclass(frozen=True, slots=True)
class Resume:
    """It was not."""


@dataclass(frozen=True, slots=True)
class Close:
    """It is over."""

    number: int
    ends: float
    """Seconds of the stream up to its last sound."""
    endpoint: bool
    """By silence; False: cut, by the client or for its length."""


Step: TypeAlias = Began | Stopped | Open | Feed | Pause | Resume | Close


class Utterances:
    """One stream's utterances. Push every frame with its judgement; act on the steps in order."""

    def __init__(
        self, settings: SegmenterSettings, sample_rate: int, *, endpoint_ms: int | None, longest: float
    ) -> None:
        """`endpoint_ms`: silence that ends an utterance; None: only the client does. `longest`: seconds."""
        self._rate = sample_rate
        self._release = settings.release
        self._endpoint = None if endpoint_ms is None else endpoint_ms * sample_rate // 1000
        self._segmenter = SpeechSegmenter(_fitted(settings, endpoint_ms), sample_rate)
        self._longest = round(longest * sample_rate)
        self._count = 0
        self._open = False
        self._first_pts = 0
        self._last_voiced = 0
        self._paused = False
        self._end_pts = 0

    @property
    def speaking(self) -> bool:
        """Somebody speaks, as far as is known."""
        return self._segmenter.speaking

    @property
    def open(self) -> bool:
        """An utterance is open."""
        return self._open

    @property
    def seconds(self) -> float:
        """Sound heard so far."""
        return self._end_pts / self._rate

    def push(self, frame: AudioFrame, voice: Voice) -> list[Step]:
        """Take the next frame."""
        self._end_pts = frame.end_pts
        voiced = voice.probability >= self._release
        steps: list[Step] = []
        fresh = False
        for event in self._segmenter.push(frame, voice):
            if isinstance(event, SpeechStarted):
                fresh = self._started(event, frame, steps)
            elif isinstance(event, SpeechEnded):
                self._ended(event, steps)
        if not fresh:
            self._follow(frame, voiced, steps)
        return steps

    def flush(self) -> list[Step]:
        """The client wants what was said so far; speech that goes on opens a new utterance."""
        return [self._close(endpoint=False)] if self._open else []

    def _started(self, event: SpeechStarted, frame: AudioFrame, steps: list[Step]) -> bool:
        """Whether the frame was taken with the opening."""
        steps.append(Began(max(0, event.onset_pts) / self._rate))
        if self._open:
            self._paused = False
            steps.append(Resume())
            return False
        earlier = [(before, before.end_pts > event.onset_pts) for before in self._segmenter.preroll()]
        steps.append(self._begin([*earlier, (frame, True)], max(0, event.onset_pts)))
        return True

    def _ended(self, event: SpeechEnded, steps: list[Step]) -> None:
        steps.append(Stopped(event.speech_end_pts / self._rate))
        if self._open:
            self._last_voiced = event.speech_end_pts
            self._paused = True
            steps.append(Pause())

    def _follow(self, frame: AudioFrame, voiced: bool, steps: list[Step]) -> None:
        if not self._open:
            if self._segmenter.speaking and voiced:  # it was cut while they spoke on
                steps.append(self._begin([(frame, True)], frame.pts))
            return
        if voiced and not self._paused:
            self._last_voiced = frame.end_pts
        steps.append(Feed(frame, voiced))
        quiet = frame.end_pts - self._last_voiced
        if self._paused and self._endpoint is not None and quiet >= self._endpoint:
            steps.append(self._close(endpoint=True))
        elif frame.end_pts - self._first_pts >= self._longest:
            steps.append(self._close(endpoint=False))

    def _begin(self, frames: list[tuple[AudioFrame, bool]], onset: int) -> Open:
        self._count += 1
        self._open, self._paused = True, False
        self._first_pts = frames[0][0].pts
        self._last_voiced = frames[-1][0].end_pts
        return Open(self._count, onset / self._rate, frames)

    def _close(self, *, endpoint: bool) -> Close:
        self._open = self._paused = False
        ends = self._last_voiced if endpoint else self._end_pts
        return Close(self._count, ends / self._rate, endpoint)


def _fitted(settings: SegmenterSettings, endpoint_ms: int | None) -> SegmenterSettings:
    """A short endpoint needs as short a hangover; a longer one decodes ahead after the usual one."""
    if endpoint_ms is None or endpoint_ms >= settings.hangover_ms:
        return settings
    hangover = max(SHORTEST_HANGOVER_MS, endpoint_ms)
    return replace(settings, hangover_ms=hangover, settle_ms=min(settings.settle_ms, hangover))
