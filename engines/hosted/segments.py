"""Segments of one stream in order, and the transcripts that wait for its reader. Everything is bounded."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from engines.base import EngineBusy, EngineError, Transcript, Word
from engines.transcript_mail import TranscriptMail
from media.frame import AudioFrame

UNSETTLED = 16
"""Segments of one stream that may wait for their finals."""

_LOUD = 10.0 ** (-45 / 10)
"""Mean square of a frame that may carry speech, full scale = 1."""
_LOUD_SECONDS = 0.06
"""So much of it in a pause makes the pause doubtful."""


@dataclass(eq=False)
class Segment:
    """One user turn. Settled once: by its final, an error, or `cancel`."""

    number: int
    ended: bool = False
    settled: bool = False
    outbox: list[Transcript] = field(default_factory=list)
    error: EngineError | None = None


class Book:
    """Hands transcripts to one reader; a later segment waits until the one before it is settled."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._order: deque[Segment] = deque()
        self._mail = TranscriptMail(counts)

    @property
    def unsettled(self) -> tuple[Segment, ...]:
        """Segments that still owe something, the oldest first."""
        return tuple(self._order)

    def open(self, segment: Segment) -> bool:
        """Take a new segment; False when too many wait: `results` then raises `EngineBusy`."""
        if len(self._order) >= UNSETTLED:
            self._mail.fail(EngineBusy(f"{len(self._order)} segments of this stream still wait for finals"))
            return False
        self._order.append(segment)
        return True

    def show(self, segment: Segment, transcript: Transcript) -> None:
        """An interim or an early final."""
        if not segment.settled:
            if segment.outbox and not segment.outbox[-1].early:
                segment.outbox.pop()
            segment.outbox.append(transcript)
            self._deliver()

    def conclude(self, segment: Segment, parts: Sequence[Transcript]) -> None:
        """Its one final: the parts joined."""
        if segment.settled:
            return
        segment.settled = True
        segment.outbox.append(joined(segment.number, parts, is_final=True))
        self._counts["finals"] += 1
        self._deliver()

    def fail(self, segment: Segment, error: EngineError) -> None:
        """It gets no final."""
        if segment.settled:
            return
        segment.settled = True
        segment.error = error
        self._counts[f"failed_{type(error).__name__}"] += 1
        self._deliver()

    def cancel(self, segment: Segment) -> None:
        """It was no speech; what was shown of it and is not read yet goes too."""
        segment.settled = True
        segment.outbox.clear()
        self._mail.forget(segment.number)
        self._deliver()

    def close(self) -> None:
        """Nothing more comes."""
        self._order.clear()
        self._mail.close()

    def results(self) -> AsyncIterator[Transcript]:
        """See `AsrStream.results`. Raises an error that cost a segment its final, once; may be read again."""
        return self._mail.results()

    def _deliver(self) -> None:
        while self._order:
            segment = self._order[0]
            for transcript in segment.outbox:
                self._mail.post(transcript)
            segment.outbox.clear()
            if segment.error:
                self._mail.fail(segment.error)
            if not segment.settled:
                break
            self._order.popleft()


def joined(
    number: int, parts: Sequence[Transcript], rest: str = "", *, is_final: bool = False, early: bool = False
) -> Transcript:
    """Settled parts and an unsettled rest as one transcript; the settled ones will not be taken back."""
    settled = " ".join(part.text for part in parts if part.text)
    text = f"{settled} {rest}".strip()
    spoken = [part for part in parts if part.text]
    weights = [max(len(part.words), 1) for part in spoken]
    total = sum(part.confidence * weight for part, weight in zip(spoken, weights, strict=True))
    words: tuple[Word, ...] = tuple(word for part in parts for word in part.words)
    return Transcript(
        segment=number,
        text=text,
        is_final=is_final,
        confidence=total / sum(weights) if spoken else 1.0,
        stable_chars=len(text) if is_final else len(settled),
        words=words if is_final or early else (),
        early=early,
    )


def loud_seconds(frames: Sequence[AudioFrame]) -> float:
    """How much of the sound may be speech."""
    return sum(len(frame.pcm) / frame.sample_rate for frame in frames if is_loud(frame))


def is_loud(frame: AudioFrame) -> bool:
    """Whether the frame may carry speech."""
    sound = frame.pcm.astype(np.float32)
    return float(np.dot(sound, sound)) > _LOUD * len(sound) * 32768.0**2


def doubtful(held: Sequence[AudioFrame]) -> bool:
    """Whether what came in a pause may be more than silence."""
    return loud_seconds(held) >= _LOUD_SECONDS
