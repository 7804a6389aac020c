"""What a route can do with a call, one frozen record each, and how it is written in YAML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Ring:
    """Tell the caller that we are on it, before answering."""

    seconds: float = 0.0
    """How long to ring, 0 to 120; the next action follows."""

    def __post_init__(self) -> None:
        if not 0 <= self.seconds <= 120:
            raise ValueError("seconds: must lie between 0 and 120")


@dataclass(frozen=True, slots=True)
class Progress:
    """Let the caller hear us before the call is answered, and before it costs anything (early media, 183)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Take the call."""


@dataclass(frozen=True, slots=True)
class SayText:
    """Speak a text to its end."""

    text: str
    """What to say; 1 to 2,000 characters."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.text.strip()) <= 2000:
            raise ValueError("text: must have 1 to 2,000 characters; split a longer one over several actions")


@dataclass(frozen=True, slots=True)
class PlayFile:
    """Play a WAV file to its end."""

    file: Path
    """16-bit PCM WAV, mono, any rate; relative paths start at the dialplan's folder."""


@dataclass(frozen=True, slots=True)
class ConnectAgent:
    """Let an agent talk with the caller until one of them hangs up."""

    agent: str
    """A name under `agents` in the configuration."""


@dataclass(frozen=True, slots=True)
class HangUpCall:
    """End the call."""

    cause: int = 16
    """Q.850 cause told to the far end, 1 to 127; 16 is normal clearing."""

    def __post_init__(self) -> None:
        if not 1 <= self.cause <= 127:
            raise ValueError("cause: must be a Q.850 cause, 1 to 127; 16 is normal clearing")


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the call before it is answered."""

    code: int = 603
    """SIP status, 400 to 699: 403 forbidden, 404 unknown, 486 busy, 603 declined."""
    retry_after: int = 0
    """Seconds after which the caller may try again; 0 says nothing."""
    reason: str = ""
    """Reason phrase; empty: the standard one of the code."""

    def __post_init__(self) -> None:
        if not 400 <= self.code <= 699:
            raise ValueError("code: must be a SIP failure, 400 to 699; 486 means busy")
        if not 0 <= self.retry_after <= 86_400:
            raise ValueError("retry_after: must lie between 0 and 86400 seconds")
        if not self.reason.isprintable() or len(self.reason) > 80:
            raise ValueError("reason: must be one printable line of at most 80 characters")


Action: TypeAlias = Ring | Progress | Answer | SayText | PlayFile | ConnectAgent | HangUpCall | Reject
"""One step of a route; steps run in order."""


@dataclass(frozen=True, slots=True)
class ActionForm:
    """How an action is written: `- word`, `- word: value` or `- word: {field: value}`."""

    cls: type[Action]
    main: str
    """Field that a bare value fills; "" when there is none."""
    bare: bool
    """Whether the word alone is enough."""


FORMS: dict[str, ActionForm] = {
    "ring": ActionForm(Ring, "seconds", True),
    "progress": ActionForm(Progress, "", True),
    "answer": ActionForm(Answer, "", True),
    "say": ActionForm(SayText, "text", False),
    "play": ActionForm(PlayFile, "file", False),
    "agent": ActionForm(ConnectAgent, "agent", False),
    "hangup": ActionForm(HangUpCall, "cause", True),
    "reject": ActionForm(Reject, "code", True),
}
"""Every action by the word that the dialplan uses."""


def order_problem(before: Sequence[Action], action: Action) -> tuple[str, str] | None:
    """What is wrong with an action after those before it (what, cure), or None."""
    last = before[-1] if before else None
    if isinstance(last, ConnectAgent | HangUpCall | Reject):
        return f"never happens: the call ends with `{_word(last)}` before it", "remove it, or move it up"
    answered = any(isinstance(done, Answer) for done in before)
    audible = answered or any(isinstance(done, Progress) for done in before)
    if isinstance(action, SayText | PlayFile) and not audible:
        return "needs an answered call", "put `- answer` before it, or `- progress` to be heard unanswered"
    if isinstance(action, ConnectAgent | HangUpCall) and not answered:
        cure = (
            "use `reject` to refuse a call" if isinstance(action, HangUpCall) else "put `- answer` before it"
        )
        return "needs an answered call", cure
    if isinstance(action, Reject | Ring | Progress | Answer) and answered:
        cure = "use `hangup`" if isinstance(action, Reject) else "remove it, or move it before `answer`"
        return "comes after the call was answered", cure
    if isinstance(action, Ring | Progress) and audible:
        return "comes after `progress`", "remove it, or move it before `progress`"
    return None


def _word(action: Action) -> str:
    return next(name for name, form in FORMS.items() if form.cls is type(action))
