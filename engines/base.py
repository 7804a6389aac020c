"""The two protocols every speech engine serves, embedded or remote."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from media.frame import AudioFrame, Pcm


class Residency(StrEnum):
    """How far away from a call its sound and words may be, or are, worked on."""

    NODE = "node"
    """On this machine."""
    SITE = "site"
    """On machines of the same operator."""
    CLOUD = "cloud"
    """Anywhere, at somebody else's."""

    def allows(self, place: Residency) -> bool:
        """Whether who may go as far as this may go to `place`."""
        order = list(Residency)
        return order.index(place) <= order.index(self)

    def narrower(self, other: Residency) -> Residency:
        """The stricter of both."""
        return self if other.allows(self) else other


@dataclass(slots=True)
class Switch:
    """One change of engine within a call."""

    kind: str
    """`asr` or `tts`."""
    source: str
    """Name of the engine that served before."""
    target: str
    """Name of the one that serves now."""
    why: str
    """`late`, `failed`, `timeout`, `busy`, `refused`, `down` or `preferred` (a better one is back)."""
    at: float
    """Seconds of the loop's clock."""
    gap: float = math.nan
    """Seconds that the caller had to wait for it: silence within speech, or words that came later than they
    were asked for. NaN until the new engine has given something."""


@dataclass(frozen=True, slots=True)
class Word:
    """One recognised word and where it lies in its segment, in seconds."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What the engine heard of one segment so far."""

    segment: int
    """The number given to `AsrStream.start`."""
    text: str
    """Words with punctuation; "" in a final means that the segment held no speech."""
    is_final: bool
    """A final comes exactly once per ended segment; interims only grow or shrink their unstable tail."""
    confidence: float = 1.0
    """0..1, comparable within one engine only."""
    stable_chars: int = 0
    """Leading characters of `text` that later interims will not take back."""
    words: tuple[Word, ...] = ()
    early: bool = False
    """True for a decode started at `pause` that has not been claimed by `end` yet; may be taken back."""


class AsrStream(Protocol):
    """One call's use of a recogniser. Every method but the iterator returns at once."""

    def start(self, segment: int) -> None:
        """Speech began: the audio pushed from now on (pre-roll first) belongs to this segment."""

    def push(self, frame: AudioFrame) -> None:
        """Audio of the open segment."""

    def pause(self) -> None:
        """Speech seems to have stopped: decode ahead. `resume` takes it back."""

    def resume(self) -> None:
        """The pause was none: throw the early decode away."""

    def end(self) -> None:
        """The segment is over; exactly one final for it follows."""

    def cancel(self) -> None:
        """The segment was not speech after all; no transcript of it will come."""

    def results(self) -> AsyncIterator[Transcript]:
        """Interims, early finals and finals in order; ends when the stream is closed. One reader only."""

    async def aclose(self) -> None:
        """Free everything the stream holds. Idempotent."""


@dataclass(frozen=True, slots=True)
class AsrOptions:
    """What a call asks of a recogniser."""

    language: str = "en-US"
    sample_rate: int = 8000
    interim: bool = True
    hot_words: tuple[str, ...] = ()
    boosts: tuple[float, ...] = ()
    """How much each hot word is raised, 0 to 20 as Riva counts it; 0, or empty: as the engine sees fit."""
    background: bool = False
    """A recording: nobody waits for its next word, so everything live goes first."""
    data: Residency = Residency.SITE
    """Where this call's sound may be worked on."""
    on_switch: Callable[[Switch], None] | None = field(default=None, compare=False, repr=False)
    """Told, on the loop's thread, when another engine takes over; `gap` is filled in later."""


class Asr(Protocol):
    """A loaded recogniser that many calls share."""

    @property
    def name(self) -> str: ...

    def stream(self, options: AsrOptions) -> AsrStream:
        """Open a stream. Raises `EngineBusy` when full, `EngineRefused` for what it cannot do."""

    async def warm_up(self) -> None:
        """Load and run once, so that the first caller does not wait."""

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class TtsOptions:
    """What a call asks of a voice."""

    sample_rate: int = 8000
    """Rate of the chunks: the leg's."""
    voice: str = ""
    """A name from `Tts.voices`, or "" for the engine's first."""
    language: str = "en-US"
    speed: float = 1.0
    """0.5 to 2.0."""
    ahead: float = 0.0
    """Seconds of earlier speech the listener still has to hear; who has none is served first."""
    data: Residency = Residency.SITE
    """Where this call's text may be worked on."""
    on_switch: Callable[[Switch], None] | None = field(default=None, compare=False, repr=False)
    """As in `AsrOptions`."""


@dataclass(frozen=True, slots=True)
class SpeechChunk:
    """A piece of a spoken sentence."""

    pcm: Pcm
    words: tuple[Word, ...] = field(default=())
    """The chunk's words as written in the text, when the engine knows them.

    Their times are seconds from the first sample of the whole `speak` call, not of the chunk.
    """
    engine: str = ""
    """Which of several engines spoke it; "" where there is one only."""


class Tts(Protocol):
    """A loaded voice that many calls share."""

    @property
    def name(self) -> str: ...

    @property
    def voices(self) -> tuple[str, ...]: ...

    def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        """Speak one sentence or a short passage; closing the iterator cancels.

        Raises `EngineBusy` when the queue is full, `EngineRefused` for text or options it cannot honour.
        """

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...


class EngineError(Exception):
    """An engine could not do its work. `retryable`: whether another try, here or elsewhere, may succeed."""

    retryable = True


class EngineBusy(EngineError):
    """Admission is full: the engine would break the streams it already serves."""


class EngineTimeout(EngineError):
    """No useful progress within the deadline."""


class EngineFailed(EngineError):
    """The engine broke while it served us."""


class EngineRefused(EngineError):
    """The request asks for something this engine cannot do; the same request will fail again."""

    retryable = False
