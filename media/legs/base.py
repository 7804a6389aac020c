"""One party's audio: what a leg promises, whichever network carries it.

A leg pushes what it hears into a `LegListener`, synchronously, on the event loop's thread: no queue stands
between the network and the session. What the far end shall hear goes into the leg's `Playout`, which the
leg's own clock empties; nobody in Python paces anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol, TypeAlias

from media.frame import AudioFrame, Pcm, Voice


class EndReason(StrEnum):
    """Why a call ended. Closed list; every call has exactly one (see `gateway/calls/lifecycle.py`)."""

    CALLER_HUNG_UP = "caller_hung_up"
    AGENT_HUNG_UP = "agent_hung_up"
    DIALPLAN_HUNG_UP = "dialplan_hung_up"
    API_HUNG_UP = "api_hung_up"
    """Somebody ended it over the API."""
    CANCELLED = "cancelled"
    """The caller gave up before the answer (SIP CANCEL)."""
    REJECTED = "rejected"
    """We refused it: dialplan, admission, no common codec."""
    NOT_ANSWERED = "not_answered"
    """An outbound call that the far end did not take, or refused."""
    NO_INPUT = "no_input"
    """The caller stayed silent through every reprompt."""
    MAX_DURATION = "max_duration"
    DEAD_AIR = "dead_air"
    """We could say nothing for too long and every fallback failed."""
    MEDIA_LOST = "media_lost"
    """RTP stopped coming, or never came."""
    SIGNALLING_LOST = "signalling_lost"
    """The far end vanished: session timer ran out, transport died."""
    TRANSFERRED = "transferred"
    DRAINED = "drained"
    """The node was shutting down and the call outlived the drain limit."""
    ENGINE_FAILED = "engine_failed"
    INTERNAL_ERROR = "internal_error"


class Direction(StrEnum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"


@dataclass(frozen=True, slots=True)
class Parties:
    """Who calls whom, as the signalling said it."""

    caller: str
    """User part of the calling address, or the whole number; "" when withheld."""
    called: str
    """User part of the called address."""
    trunk: str = ""
    """Name of the configured trunk the call came through; "" when none matched."""
    remote: str = ""
    """Network address of the peer, `host:port`."""
    display: str = ""
    """Name shown beside the calling address; "" when there is none."""
    forwarded_from: str = ""
    """User part of the address that sent the call on to us last (RFC 5806, RFC 7044)."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Names in lower case and values of the INVITE's headers in their order: the first 64, of at most 512
    characters, without those that hold secrets (Authorization, Proxy-Authorization)."""

    def header(self, name: str) -> str:
        """Value of the first header of that name, however it is spelt; "" when there is none."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key == wanted), "")

    def keeping(self, names: Iterable[str]) -> Parties:
        """The same with no headers but these (names in lower case): first values, "" where none came."""
        return replace(self, headers=tuple((name, self.header(name)) for name in sorted(names)))


@dataclass(frozen=True, slots=True)
class DtmfReceived:
    """One key pressed by the far end."""

    digit: str
    """One of 0-9, *, #, A-D."""
    at: float
    """Monotonic seconds."""
    inband: bool = False
    """Heard in the audio, which therefore carries it to whoever is connected."""


@dataclass(frozen=True, slots=True)
class LegAnswered:
    """Audio flows both ways from here (for an inbound leg after `answer`, for an outbound one when taken)."""

    at: float
    sample_rate: int
    codec: str


@dataclass(frozen=True, slots=True)
class LegHeld:
    """The far end put us on hold: it no longer listens."""

    at: float


@dataclass(frozen=True, slots=True)
class LegResumed:
    at: float


@dataclass(frozen=True, slots=True)
class LegRinging:
    """The far end of an outbound leg rings; `early_media` when it can be heard already."""

    at: float
    sip_code: int
    early_media: bool = False


@dataclass(frozen=True, slots=True)
class TransferAsked:
    """The far end asks us to call somebody else in its place (inbound REFER).

    Comes only where the trunk's `refer` is `ask`; whoever hears it answers with `Leg.accept_transfer` or
    `Leg.refuse_transfer`. Unanswered for a few seconds it is refused.
    """

    target: str
    """The URI it names (Refer-To), without what belongs to an attended transfer."""
    at: float
    attended: bool = False
    """Whether it names a call that ours shall replace (RFC 3891)."""
    replaces: str = ""
    """That call, as a Replaces header names it; "" for a blind transfer."""
    referred_by: str = ""
    """Who asks, as the REFER says it (Referred-By, RFC 3892); "" when it does not."""
    ours: bool = False
    """The URI leads to this node itself: its user is a number of our own dialplan."""


@dataclass(frozen=True, slots=True)
class AudioOneWay:
    """We send and nothing comes back, though nobody is on hold; told once per gap, and counted.

    The usual causes are NAT and firewalls, so both addresses are in `detail`.
    """

    at: float
    seconds: float
    """How long nothing has come."""
    detail: str = ""
    """Where we want audio and where we send it, `ours … theirs …`."""


@dataclass(frozen=True, slots=True)
class LegClosed:
    """The leg is over. Always the last event, exactly once."""

    reason: EndReason
    at: float
    sip_code: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PlayoutStarted:
    """The first packet with audio of this reply left at `at`."""

    reply: int
    at: float


@dataclass(frozen=True, slots=True)
class PlayoutDrained:
    """The reply was finished and its last sample was sent."""

    reply: int
    samples: int
    at: float


@dataclass(frozen=True, slots=True)
class PlayoutMark:
    """Everything written before the mark was sent."""

    reply: int
    mark: int
    at: float


LegEvent: TypeAlias = (
    DtmfReceived
    | LegAnswered
    | LegHeld
    | LegResumed
    | LegRinging
    | TransferAsked
    | AudioOneWay
    | LegClosed
    | PlayoutStarted
    | PlayoutDrained
    | PlayoutMark
)


class LegListener(Protocol):
    """Who hears a leg. Both methods are called on the loop's thread and must not block."""

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        """One frame of the far end's audio and the voice detector's judgement of it.

        The judgement is made outside (`media/vad.py`), because all legs of a tick are judged in one batch.
        """

    def notice(self, event: LegEvent) -> None:
        """Something happened on the leg."""


class Playout(Protocol):
    """What the far end hears next. Deep, native, and never paced from Python.

    Replies are numbered upwards by the caller of these methods; a number that was cleared, and any below
    it, is refused from then on, so that no stale audio can sound after a barge-in.
    """

    def write(self, pcm: Pcm, reply: int) -> int:
        """Queue samples at the leg's rate; returns how many were taken (fewer when the queue is full)."""

    def mark(self, mark: int) -> None:
        """Ask for a `PlayoutMark` once everything written so far was sent."""

    def finish(self) -> None:
        """The reply has no more audio: `PlayoutDrained` follows when its last sample was sent."""

    def clear(self) -> int:
        """Fall silent at once; returns the samples of the current reply that were really sent."""

    def position(self) -> int:
        """Samples of the current reply sent so far."""

    def duck(self, gain: float, ramp_ms: int = 20) -> None:
        """Scale what is being played, 0..1; 1 restores it."""


TransferProgress: TypeAlias = Callable[[int], None]
"""Told each SIP code that the far end reports of a transfer: 100, 180, then 200 or the failure."""


class Leg(Protocol):
    """One party's audio connection."""

    @property
    def leg_id(self) -> str: ...

    @property
    def direction(self) -> Direction: ...

    @property
    def parties(self) -> Parties: ...

    @property
    def sample_rate(self) -> int:
        """Rate of the frames it pushes and of the samples its playout takes; 0 before media exists."""

    @property
    def playout(self) -> Playout: ...

    def attach(self, listener: LegListener) -> None:
        """Deliver frames and events to `listener` from now on; what waited before comes first."""

    async def ring(self, *, early_media: bool = False) -> None:
        """Tell an inbound caller that we are on it (180, or 183 with audio)."""

    async def answer(self) -> None:
        """Take an inbound call; returns when the far end may hear us. Raises `LegError`."""

    async def reject(self, sip_code: int, *, retry_after: int = 0, reason: str = "") -> None:
        """Refuse an inbound call before it is answered."""

    async def send_dtmf(self, digits: str) -> None:
        """Send keys to the far end. Raises `LegError` when the leg cannot."""

    async def hold(self, on: bool) -> None:
        """Put the far end on hold, or take it back (RFC 3264 section 8.4). Idempotent.

        On hold it hears what the playout has, and is not heard. Returns when the far end agreed; raises
        `LegError` when it refused, and everything is as it was.
        """

    async def transfer(self, target: str, *, deadline: float, progress: TransferProgress) -> None:
        """Send the far end elsewhere, blind (RFC 3515); returns when it reported success.

        `target` is a number, or a SIP or tel URI. A far end that hangs up after it agreed to go, and before
        it reported that anything rings, has gone: many PBXes report nothing. Raises `LegError` with the code
        of the refusal or of the reported failure, 408 when nothing final was reported within `deadline`
        seconds, 487 when the far end hung up before. After a failure the call goes on: the far end is taken
        back from hold, and may be transferred again.
        """

    async def transfer_to(self, other: Leg, *, deadline: float, progress: TransferProgress) -> None:
        """Connect the far end with that of another leg of this endpoint: REFER with Replaces (RFC 3891).

        Promises and errors are those of `transfer`; the other leg ends by its own far end's BYE.
        """

    async def accept_transfer(self) -> None:
        """Agree to a `TransferAsked` (202), and report 100. Raises `LegError` when nothing was asked."""

    async def report_transfer(self, sip_code: int) -> None:
        """Report how an accepted transfer goes on (RFC 3420 sipfrag); a code from 200 up is the last one."""

    async def refuse_transfer(self, sip_code: int = 603) -> None:
        """Refuse a `TransferAsked` with a code, 300 to 699. Does nothing when nothing was asked."""

    def patch(self, other: Leg) -> bool:
        """Connect the sound of two legs both ways without Python in between; False when these two cannot.

        Frames still reach the listeners. What a playout holds is heard before the other leg's voice.
        """

    def unpatch(self) -> None:
        """Undo `patch`; does nothing without it."""

    async def hangup(self, reason: EndReason, *, cause: int = 0) -> None:
        """End the leg. Idempotent; `LegClosed` follows.

        `cause` is the Q.850 cause (1 to 127) told to the far end where its network has a word for it
        (RFC 3326); 0 takes the one that fits the reason.
        """

    def stats(self) -> dict[str, int | float | str]:
        """Counters of the media path for the call's record: packets, lost, late, dropped, underruns."""


class LegError(Exception):
    """A leg could not do what it was asked; `detail` says why in words an operator can use."""

    def __init__(self, detail: str, *, sip_code: int = 500) -> None:
        super().__init__(detail)
        self.detail = detail
        self.sip_code = sip_code
