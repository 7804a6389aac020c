"""What answers the caller: one small protocol, one file per kind of backend."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

from gateway.calls.orders import Order
from media.frame import Pcm


@dataclass(frozen=True, slots=True)
class CallInfo:
    """What an agent may know of the call it serves."""

    call_id: str
    caller: str
    called: str
    trunk: str = ""
    outbound: bool = False
    """We called."""


class Interruptible(StrEnum):
    """What of the caller's silences the agent."""

    NONE = "none"
    KEYS = "dtmf"
    VOICE = "speech"
    ANY = "any"

    @property
    def by_voice(self) -> bool:
        return self in (Interruptible.VOICE, Interruptible.ANY)

    @property
    def by_keys(self) -> bool:
        return self in (Interruptible.KEYS, Interruptible.ANY)


@dataclass(frozen=True, slots=True)
class UserTurn:
    """One thing the caller said, whole."""

    number: int
    """Counts the caller's turns from 1; 0 is the greeting, which answers nothing."""
    text: str
    dtmf: str = ""
    unasked: bool = False
    """Answers nothing, with number 0: the agent speaks by itself (`companion.Companion.unprompted`)."""


@dataclass(frozen=True, slots=True)
class Say:
    """Text to speak; pieces may be of any size, they are joined and cut into sentences."""

    text: str
    language: str = ""
    """BCP 47; "" for the call's own."""
    voice: str = ""
    """Name of a voice; "" for the call's own, or the language's."""
    interruptible: Interruptible | None = None
    """What may cut the reply from here on; None leaves it to the call's settings."""
    filler: bool = False
    """Only said while the answer takes its time; left out when the caller was asked for patience already."""


@dataclass(frozen=True, slots=True)
class PlaySound:
    """Sound to play in its place between the texts."""

    open: Callable[[int], AsyncGenerator[Pcm, None]]
    """The sound at this sample rate, from its beginning. Raises `OSError`, `ValueError`, `GatewayError`."""
    loops: int = 1
    """How often; 0 for ever."""
    interruptible: Interruptible | None = None
    """As in `Say`."""
    told: Callable[[str], None] | None = None
    """Called when it was queued to its end (""), or could not be had (why, in words); it is left out then."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call when everything said so far was heard."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Do:
    """Have an order done once everything said before it was heard; a caller who interrupts prevents it."""

    order: Order
    told: Callable[[str], None] | None = None
    """Called when it was done ("") or refused (why, in words)."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The agent's part in the call is over when everything said so far was heard; the call may go on."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Go on with the reply only when it is certain that the caller has finished.

    A reply may be asked for ahead of the end of the turn, and thrown away. What must happen only once comes
    after this.
    """


@dataclass(frozen=True, slots=True)
class Working:
    """What follows may take its time: something works for the caller, and has a limit of its own."""


class FaultKind(StrEnum):
    """What went wrong at an agent's backend."""

    REFUSED = "refused"
    """It could not be reached, or would not answer."""
    SLOW = "slow"
    """Nothing came in time."""
    CUT = "cut"
    """It fell silent, or was lost, in the middle."""
    GARBAGE = "garbage"
    """What came makes no sense."""
    ENDLESS = "endless"
    """It does not stop."""
    TOOL = "tool"
    """Something that it needed for the answer failed or was slow."""
    BROKEN = "broken"
    """A fault of our own."""


@dataclass(frozen=True, slots=True)
class Mishap:
    """Something went wrong, and the agent goes on all the same: for the record."""

    kind: FaultKind
    action: str
    """What was done, as in `gateway.calls.call_events.AgentFault`."""


ReplyPart: TypeAlias = Say | PlaySound | HangUp | Finish | Do | Settle | Working | Mishap


class Agent(Protocol):
    """One call's conversation with a backend."""

    @property
    def name(self) -> str: ...

    def greet(self) -> AsyncIterator[ReplyPart]:
        """What to say before the caller said anything; may be empty."""

    def reply(self, turn: UserTurn) -> AsyncIterator[ReplyPart]:
        """Answer one turn. Closing the iterator cancels it. Raises `AgentError`.

        May be called ahead of the end of the turn and closed again when the caller goes on: a reply leaves
        no trace in the conversation until `heard` is called for it.
        """

    def heard(self, turn: UserTurn, text: str, *, complete: bool) -> None:
        """What the caller really heard of the reply to `turn`; `complete` is False after a barge-in."""

    async def aclose(self) -> None: ...


class AgentError(Exception):
    """The backend failed or was too slow. `retryable` says whether the same turn may be tried again."""

    def __init__(self, detail: str, *, retryable: bool = True, kind: FaultKind = FaultKind.REFUSED) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retryable = retryable
        self.kind = kind
