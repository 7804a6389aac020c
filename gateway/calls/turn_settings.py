"""What an operator may set about taking turns."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from gateway.calls.endpointing import EndpointSettings


class BargeIn(StrEnum):
    """What stops a reply."""

    VOICE = "voice"
    """Confirmed voice, at once."""
    WORDS = "words"
    """Words; until then the reply goes on, ducked."""
    OFF = "off"
    """Nothing but a key: replies are heard to their end."""


@dataclass(frozen=True, slots=True)
class BargeInSettings:
    """How the caller takes the floor while a reply sounds."""

    policy: BargeIn = BargeIn.VOICE
    """`voice` is quickest; `words` suits noisy callers; `off` suits announcements that must be heard."""
    greeting: bool = True
    """Whether the greeting may be interrupted as well."""
    duck_gain: float = 0.25
    """Level of the reply, 0 to 1, while voice is suspected or contested."""
    words: int = 1
    """Words that stop a reply under the policy `words`; backchannels do not count."""
    sustained: float = 1.2
    """Under `words`: seconds of voice that stop the reply even when no words were recognised."""
    resume: bool = True
    """Go on with a reply that was stopped by a noise or a backchannel."""
    backchannels: tuple[str, ...] = (
        "mm", "mhm", "mm-hm", "mm-hmm", "hm", "hmm", "uh-huh", "uh huh", "ah", "aha", "oh", "ok", "okay",
        "yeah", "yep", "right", "sure", "alright", "all right", "i see", "got it", "yeah yeah", "okay okay",
        "yeah okay", "oh okay", "okay yeah", "go on",
    )  # fmt: skip
    """What a listener says without wanting the floor, in small letters; an answer to a question is none."""
    overhear: bool = False
    """Listen to what the caller says under a reply that he cannot interrupt, for agents that want to know."""

    def __post_init__(self) -> None:
        if not 0 <= self.duck_gain <= 1:
            raise ValueError("duck_gain must lie between 0 and 1")
        if self.words < 1:
            raise ValueError("words must be at least 1; use the policy voice to stop without words")
        if not 0.1 <= self.sustained <= 10:
            raise ValueError("sustained must lie between 0.1 and 10 seconds")


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """What keeps a call from being stuck. Seconds of media; a hold suspends all but `max_duration`."""

    no_input: float = 8.0
    """Silence of the caller before we ask again."""
    reprompts: int = 2
    """How often we ask again before the call ends."""
    max_turn: float = 60.0
    """The longest turn of the caller that is listened to before it is answered."""
    filler_after: float = 1.3
    """Silence after the caller's last word before a filler is said."""
    dead_air: float = 3.7
    """Silence after the caller's last word, filler aside, before we apologise."""
    failures: int = 3
    """Replies in a row that may fail before the call ends."""
    final: float = 1.5
    """How long the final transcript may take before the words so far must do."""
    media_lost: float = 30.0
    """No packet for so long ends the call. Callers with silence suppression may be quiet that long."""
    max_duration: float = 3600.0
    """The longest call."""
    warning: float = 60.0
    """How long before that the caller is told; 0 for never."""
    goodbye: float = 10.0
    """The longest last phrase."""

    def __post_init__(self) -> None:
        for name in (
            "no_input", "max_turn", "filler_after", "dead_air", "final", "media_lost", "max_duration",
            "goodbye",
        ):  # fmt: skip
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0 seconds; use a large number to do without it")
        if self.filler_after >= self.dead_air:
            raise ValueError("filler_after must be below dead_air, else the filler is never heard")
        if self.reprompts < 0 or self.failures < 1:
            raise ValueError("reprompts must be at least 0 and failures at least 1")
        if not 0 <= self.warning < self.max_duration:
            raise ValueError("warning must lie between 0 and max_duration")


@dataclass(frozen=True, slots=True)
class KeySettings:
    """How keys become a turn."""

    timeout: float = 2.5
    """Seconds without a key that end the number being entered."""
    terminator: str = "#"
    """The key that ends it at once; "" for none. It is not part of the number."""
    most: int = 32
    """Keys in one turn; the last one ends it."""
    as_turns: bool = True
    """Off for agents that follow every key by themselves: keys interrupt a reply, and are no turns."""

    def __post_init__(self) -> None:
        if self.timeout <= 0:
            raise ValueError("timeout must be above 0 seconds")
        if len(self.terminator) > 1 or self.terminator not in "0123456789*#ABCD":
            raise ValueError("terminator must be one key of 0-9, *, #, A-D, or empty")
        if self.most < 1:
            raise ValueError("most must be at least 1")


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """How this call takes turns."""

    endpointing: EndpointSettings = field(default_factory=EndpointSettings)
    barge_in: BargeInSettings = field(default_factory=BargeInSettings)
    guards: GuardSettings = field(default_factory=GuardSettings)
    keys: KeySettings = field(default_factory=KeySettings)
    speculate: bool = True
    """Ask the agent before the turn is certain to be over; saves the wait, costs some replies thrown away."""
    reopen_gap: float = 0.7
    """A caller who goes on within so many seconds of his last word had not finished: still one turn."""
    reopen_heard: float = 0.3
    """... provided that he heard no more of the reply than this, in seconds."""

    def __post_init__(self) -> None:
        if not 0 <= self.reopen_gap <= 3:
            raise ValueError("reopen_gap must lie between 0 and 3 seconds")
        if not 0 <= self.reopen_heard <= 2:
            raise ValueError("reopen_heard must lie between 0 and 2 seconds")
