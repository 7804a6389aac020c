"""What an operator may set about a call, and what a session is told about the one it serves."""

from __future__ import annotations

from dataclasses import dataclass, field

from engines.base import Asr, Residency, Switch, Tts
from gateway.calls.turn_events import Phrase
from gateway.calls.turn_settings import TurnSettings
from media.segmenter import SegmenterSettings


@dataclass(frozen=True, slots=True)
class PhraseSettings:
    """What we say ourselves. An empty text is silence."""

    filler: str = "One moment, please."
    """While the agent thinks longer than `turns.guards.filler_after`."""
    apology: str = "I'm sorry, something went wrong. Please say that again."
    """After a reply that failed, or that did not come within `turns.guards.dead_air`."""
    reprompt: str = "Are you still there?"
    """To a caller who said nothing for `turns.guards.no_input`."""
    warning: str = "This call will end in a minute."
    """Once, `turns.guards.warning` before the longest time for a call is over."""
    no_input_goodbye: str = "I can't hear you, so I will hang up now. Goodbye."
    """Before we hang up on a caller who did not answer any reprompt."""
    duration_goodbye: str = "We have reached the longest time for a call. Goodbye."
    """Before we hang up after `turns.guards.max_duration`."""
    failure_goodbye: str = "I'm sorry, I can't help you at the moment. Please call again later. Goodbye."
    """Before we hang up after too many failures in a row, or without a recogniser."""

    def text(self, phrase: Phrase) -> str:
        """The words of a phrase."""
        texts = {
            Phrase.FILLER: self.filler,
            Phrase.APOLOGY: self.apology,
            Phrase.REPROMPT: self.reprompt,
            Phrase.WARNING: self.warning,
            Phrase.NO_INPUT_GOODBYE: self.no_input_goodbye,
            Phrase.DURATION_GOODBYE: self.duration_goodbye,
            Phrase.FAILURE_GOODBYE: self.failure_goodbye,
        }
        return texts[phrase]


@dataclass(frozen=True, slots=True)
class DeadlineSettings:
    """How long progress may take before it counts as failure. Seconds; progress is text or sound."""

    agent_first: float = 10.0
    """Agent asked to its first text. The dead-air guard acts before; this one frees what is stuck."""
    agent_next: float = 10.0
    """... and from one piece of text to the next."""
    agent_lull: float = 1.0
    """Silence in the middle of a reply, all of it so far heard, before a filler is said."""
    agent_silent: float = 3.4
    """... before the rest is given up and apologised for."""
    agent_open: float = 3.5
    """Reaching an agent that makes its own sound, all tries together."""
    tts_first: float = 3.0
    """Sentence handed over to its first samples."""
    tts_next: float = 3.0
    """... and from one piece of sound to the next."""
    close: float = 2.0
    """How long the leg and the agent may take to say goodbye."""

    def __post_init__(self) -> None:
        for name in (
            "agent_first", "agent_next", "agent_lull", "agent_silent", "agent_open", "tts_first",
            "tts_next", "close",
        ):  # fmt: skip
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0 seconds; use a large number to do without it")
        if self.agent_lull >= self.agent_silent:
            raise ValueError("agent_lull must be below agent_silent, else the filler is never heard")


@dataclass(frozen=True, slots=True)
class RecognitionSettings:
    """How a call's recogniser is kept alive."""

    attempts: int = 3
    """Streams in a row that may break without one transcript before the caller is told goodbye."""
    backoff: float = 0.2
    """Seconds before the second try; each further one waits so much longer."""
    replay: float = 15.0
    """Seconds of each unfinished segment kept, to be heard again by the next stream."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("attempts must be at least 1")
        if self.backoff <= 0:
            raise ValueError("backoff must be above 0 seconds")
        if not 1 <= self.replay <= 120:
            raise ValueError("replay must lie between 1 and 120 seconds")


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How a call is served."""

    turns: TurnSettings = field(default_factory=TurnSettings)
    segmenter: SegmenterSettings = field(default_factory=SegmenterSettings)
    phrases: PhraseSettings = field(default_factory=PhraseSettings)
    deadlines: DeadlineSettings = field(default_factory=DeadlineSettings)
    recognition: RecognitionSettings = field(default_factory=RecognitionSettings)
    language: str = "en-US"
    """Of the caller and of the voice."""
    voice: str = ""
    """Name of the voice; "" for the engine's first."""
    speed: float = 1.0
    """Of the voice, 0.5 to 2."""
    hot_words: tuple[str, ...] = ()
    """Words that the caller is likely to say."""

    def __post_init__(self) -> None:
        if not 0.5 <= self.speed <= 2:
            raise ValueError("speed must lie between 0.5 and 2")


@dataclass(frozen=True, slots=True)
class Engines:
    """What hears and what speaks; shared by all calls."""

    asr: Asr
    tts: Tts
    data: Residency = Residency.SITE
    """How far callers' sound and words may go."""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is known of a call before it runs."""

    call_id: str
    route: str = ""
    """Name of the dialplan's route that took it."""
    started: str = ""
    """UTC, ISO 8601."""
    headers: frozenset[str] = frozenset()
    """Names (lower case) of the INVITE's headers that its record keeps: those that decide where calls go."""
    switches: list[Switch] = field(default_factory=list)
    """Changes of engine so far; those to come are added."""
