"""What an agent may do beside its replies: follow the call as it happens, and speak without being asked.

Most agents answer turns and need none of this. One whose backend is in touch with the call all the time (a
socket that tells of every key, that may speak whenever it likes) serves `Companion` as well:

    session ── tune ──> companion      once, before the call begins
            ── join(line) ──>          audio flows; from now on the line may be used
            ── notice(news) ──>        keys, interruptions, words heard beside the conversation, ...
            ── unprompted() ──>        what it wants to say, after `line.offer`

A companion never holds the session up: `notice` returns at once, and whatever it has to say waits with it
until the floor is free.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from gateway.agents.base import CallInfo, ReplyPart

if TYPE_CHECKING:
    from gateway.calls.settings import SessionSettings


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The caller took the floor from what the agent said, or kept it before anything was heard."""

    heard: str
    """The agent's words that reached him."""
    seconds: float
    """How long it had sounded."""


@dataclass(frozen=True, slots=True)
class Overheard:
    """The caller said this while the agent spoke on; it is not a turn, and no reply is awaited."""

    text: str


@dataclass(frozen=True, slots=True)
class WordsSoFar:
    """What the caller seems to be saying; more of it, or other words, will follow."""

    text: str


@dataclass(frozen=True, slots=True)
class KeyTold:
    """The caller pressed a key."""

    digit: str
    while_speaking: bool
    """The agent spoke, and the key did not interrupt it."""


@dataclass(frozen=True, slots=True)
class CallerSpeaks:
    on: bool


@dataclass(frozen=True, slots=True)
class AgentSpeaks:
    """The caller hears the agent, or no longer does."""

    on: bool


@dataclass(frozen=True, slots=True)
class WordsPlayed:
    """These further words of the agent's were heard to their end."""

    text: str


CallNews: TypeAlias = (
    Interrupted | Overheard | WordsSoFar | KeyTold | CallerSpeaks | AgentSpeaks | WordsPlayed
)


class Line(Protocol):
    """What a companion may ask of the call it is in. Every method returns at once."""

    @property
    def info(self) -> CallInfo: ...

    def offer(self, *, preempts: bool = False, urgent: bool = False) -> None:
        """There is something to say: `unprompted` is read when the floor is free.

        `preempts`: what the agent is saying now is cut for it. `urgent`: the caller is not waited for.
        """

    def lost(self) -> None:
        """The backend is gone for good: the conversation ends as one whose every fallback failed."""

    def hear_in(self, language: str) -> None:
        """Recognise this language (BCP 47) from the caller's next words on."""

    def fault(self, kind: str, action: str) -> None:
        """Keep in the record what broke and what was done (`call_events.AgentFault`)."""


class Companion(Protocol):
    """An agent that is with the call all the time."""

    def tune(self, settings: SessionSettings) -> SessionSettings:
        """The settings under which it wants the call to be served."""

    def join(self, line: Line) -> None:
        """The call is answered."""

    def notice(self, news: CallNews) -> None:
        """Something happened."""

    @property
    def counts_words(self) -> bool:
        """Whether it wants `WordsPlayed`."""

    def unprompted(self) -> AsyncIterator[ReplyPart]:
        """What it wants to say, to the end of one talk; empty when it thought better of it."""


def companion_of(agent: object) -> Companion | None:
    """The agent's attribute `companion`; most have none."""
    found: Companion | None = getattr(agent, "companion", None)
    return found
