"""What may be asked of a running call from outside its conversation.

One vocabulary for everybody who may ask: an operator over REST, an agent's tool, a TwiML document. A call
obeys through `CallHandle`; which part of it does the work (`gateway/calls/stage.py`) is its own affair.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from media.legs.base import EndReason

LONGEST_TEXT = 10_000
"""Characters of one text to speak."""
MOST_WAITING = 16
"""Texts and sounds of one call that may wait to be heard."""


@dataclass(frozen=True, slots=True)
class SayNow:
    """Speak a text to the far end. What is being said is heard out first, unless `interrupt`."""

    text: str
    interrupt: bool = False


@dataclass(frozen=True, slots=True)
class PlayNow:
    """Play a sound file to the far end. What is being said is heard out first, unless `interrupt`."""

    file: Path
    interrupt: bool = False


@dataclass(frozen=True, slots=True)
class ClearNow:
    """Fall silent at once; what was queued is never heard."""


@dataclass(frozen=True, slots=True)
class SendKeys:
    """Press keys towards the far end: 0-9, *, #, A-D, and `w` for half a second of waiting."""

    digits: str


@dataclass(frozen=True, slots=True)
class CollectKeys:
    """Take the far end's next keys for a number of this length: the last one ends the turn at once."""

    most: int
    """1 to 32."""


@dataclass(frozen=True, slots=True)
class Mute:
    """Let nobody on our side hear the far end, or hear it again."""

    on: bool


@dataclass(frozen=True, slots=True)
class Hold:
    """Put the far end on hold (RFC 3264 section 8.4), or take it back."""

    on: bool


@dataclass(frozen=True, slots=True)
class TransferBlind:
    """Send the far end elsewhere by REFER; if that fails, the call goes on as it was."""

    target: str
    """A number, or a SIP or tel URI."""
    deadline: float = 30.0
    """Seconds for the far end to report that the target answered."""


@dataclass(frozen=True, slots=True)
class TransferAttended:
    """Connect the far end with that of another call of this node, by REFER with Replaces."""

    call_id: str
    deadline: float = 30.0


@dataclass(frozen=True, slots=True)
class BridgeDial:
    """Call somebody and connect the two; when he does not answer, the call goes on as it was."""

    target: str
    trunk: str = ""
    caller: str = ""
    ring_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class BridgeCall:
    """Connect with another running call of this node; both leave what they were doing."""

    call_id: str


@dataclass(frozen=True, slots=True)
class SwitchAgent:
    """Let another agent go on with the conversation."""

    agent: str
    handoff: str = ""
    """What the next agent should know, in words."""


@dataclass(frozen=True, slots=True)
class SwitchLanguage:
    """Hear and speak another language, or with another voice, from the next turn on."""

    language: str = ""
    """BCP 47; "" keeps it."""
    voice: str = ""
    """Name of a voice; "" keeps it, or takes the language's first."""


@dataclass(frozen=True, slots=True)
class GoTo:
    """Leave what the call is doing and run another route of its dialplan."""

    route: str


@dataclass(frozen=True, slots=True)
class RunTwiml:
    """Leave what the call is doing and let an app that speaks TwiML have it.

    Whoever orders it answers for the addresses: they are asked wherever they are.
    """

    url: str = ""
    """Of the app; "" with a `document`."""
    method: str = "POST"
    document: str = ""
    """TwiML itself; "" with a `url`."""
    fallback_url: str = ""
    """Asked when anything of the app fails; "" for none."""
    fallback_method: str = "POST"


@dataclass(frozen=True, slots=True)
class End:
    """Hang up."""

    reason: EndReason
    cause: int = 0
    """Q.850, 1 to 127; 0 takes the one that fits the reason."""


Order: TypeAlias = (
    SayNow
    | PlayNow
    | ClearNow
    | SendKeys
    | CollectKeys
    | Mute
    | Hold
    | TransferBlind
    | TransferAttended
    | BridgeDial
    | BridgeCall
    | SwitchAgent
    | SwitchLanguage
    | GoTo
    | RunTwiml
    | End
)


class OrderRefused(Exception):
    """A call cannot do what was asked, in the state it is in; it goes on as if nothing had been asked.

    `detail` says why, in words for whoever asked. `sip_code` is what the far end answered, 0 when it was not
    asked.
    """

    def __init__(self, detail: str, *, sip_code: int = 0) -> None:
        super().__init__(detail)
        self.detail = detail
        self.sip_code = sip_code


class CallHandle(Protocol):
    """A running call, as others may touch it."""

    @property
    def call_id(self) -> str: ...

    def hang_up(self, reason: EndReason) -> None:
        """End it; returns at once."""

    async def obey(self, order: Order) -> None:
        """Do what was asked; returns when it is done (said, transferred, on hold). Raises `OrderRefused`."""
