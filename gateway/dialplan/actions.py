"""What a route can do with a call, one frozen record each: the plain ones. `forms.py` has all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.dialplan import variables


@dataclass(frozen=True, slots=True)
class Ring:
    """Tell the caller that we are on it, before answering."""

    seconds: float = 0.0
    """How long to ring, 0 to 120; the next action follows."""

    def __post_init__(self) -> None:
        between("seconds", self.seconds, 0, 120)


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
    """What to say; 1 to 2,000 characters; `${name}` stands for a variable."""
    language: str = ""
    """BCP 47; "" speaks the configured one."""
    voice: str = ""
    """Name of a voice; "" takes the configured one, or the language's first."""

    def __post_init__(self) -> None:
        spoken("text", self.text)
        if not self.text.strip():
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
class SetVariables:
    """Give variables their values."""

    values: Mapping[str, str]
    """By name; texts with `${name}` are filled first, and may be up to 2,000 characters."""

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("values: must name a variable; write `set: {name: value}`")
        for name, value in self.values.items():
            if not variables.is_name(name) or name.startswith(variables.HEADER):
                raise ValueError(f'values: "{name}" is no name; use letters, digits, _, - and dots')
            if len(value) > variables.LONGEST_VALUE:
                raise ValueError(f"values: {name} is longer than {variables.LONGEST_VALUE} characters")
            variables.check(value)


@dataclass(frozen=True, slots=True)
class GoToRoute:
    """Go on with another route of the plan, from its first action; nothing comes back."""

    route: str
    """Its name."""


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


def between(name: str, value: float, low: float, high: float) -> None:
    """Raises `ValueError` for a number outside."""
    if not low <= value <= high:
        raise ValueError(f"{name}: must lie between {low:g} and {high:g}")


def spoken(name: str, text: str) -> None:
    """Raises `ValueError` for a text that is too long to speak at once, or refers to variables wrongly."""
    if len(text) > 2000:
        raise ValueError(f"{name}: must have 1 to 2,000 characters; split a longer one over several actions")
    try:
        variables.check(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
