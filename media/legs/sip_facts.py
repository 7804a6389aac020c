"""What the SIP thread tells the event loop: plain values, no pjsua2 object among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from media.dtmf_merge import KeyKind
from media.legs.base import Parties
from media.legs.sip_ends import EndedBy
from media.legs.sip_referral import ReferAnswered, ReferNotified


@dataclass(frozen=True, slots=True)
class Incoming:
    """A call that passed every gate and waits for an answer."""

    key: int
    """Our own number of the call; never used twice in a process."""
    bus_leg: int
    parties: Parties
    sip_call_id: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A 2xx was sent or received."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The ACK of the 2xx came, or ours was sent."""


@dataclass(frozen=True, slots=True)
class MediaChanged:
    """An offer and an answer were agreed on."""

    active: bool
    """Whether a stream runs at all."""
    held: bool
    """Whether the far end asked us to stop sending (RFC 3264 section 8.4)."""
    codec: str
    sample_rate: int
    """Of the frames on the bus; 0 while no stream runs."""
    addresses: str = ""
    """`ours host:port theirs host:port`, as both SDPs have them."""


@dataclass(frozen=True, slots=True)
class Digit:
    """News of a key, by RTP event (each packet that says something new) or INFO."""

    digit: str
    at: float
    kind: KeyKind = KeyKind.RTP
    stamp: int = 0
    """What tells one press by RTP events from the next: their common timestamp, in milliseconds."""
    seconds: float = 0.0
    """How long an INFO says that it was pressed."""


@dataclass(frozen=True, slots=True)
class Ringing:
    """A provisional answer to our INVITE from 180 to 199."""

    sip_code: int
    early_media: bool
    """Whether it says where its audio is."""


@dataclass(frozen=True, slots=True)
class OfferAnswered:
    """The final answer to an offer that we made within the call."""

    sip_code: int


@dataclass(frozen=True, slots=True)
class ReferAsked:
    """A REFER from the far end waits for our answer."""

    target: str
    replaces: str = ""
    referred_by: str = ""
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """The call is over; nothing follows."""

    ended_by: EndedBy
    sip_code: int
    detail: str
    stats: dict[str, int | float | str] = field(default_factory=dict)


Fact: TypeAlias = (
    Accepted
    | Confirmed
    | MediaChanged
    | Digit
    | Ringing
    | OfferAnswered
    | ReferAnswered
    | ReferNotified
    | ReferAsked
    | Ended
)
