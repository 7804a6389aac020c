"""How a SIP call's end becomes one `EndReason`: a table of who ended it, when, and with which code."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from media.legs.base import Direction, EndReason


class Phase(StrEnum):
    """How far a call had come when it ended."""

    SETUP = "setup"
    """No final answer yet."""
    ANSWERED = "answered"


class EndedBy(StrEnum):
    """Whose message ended the call."""

    US = "us"
    FAR_END = "far_end"
    """Its BYE, CANCEL or final refusal."""
    NOBODY = "nobody"
    """A timer or a transport: no message came when one was due."""


class CallEnd(NamedTuple):
    """The facts of an end, as the signalling gave them."""

    direction: Direction
    phase: Phase
    ended_by: EndedBy
    sip_code: int


_SETUP, _ANSWERED = Phase.SETUP, Phase.ANSWERED
_IN, _OUT = Direction.INBOUND, Direction.OUTBOUND

_REASONS: dict[tuple[Direction, Phase, EndedBy], EndReason] = {
    (_IN, _SETUP, EndedBy.US): EndReason.REJECTED,
    (_IN, _SETUP, EndedBy.FAR_END): EndReason.CANCELLED,
    (_IN, _SETUP, EndedBy.NOBODY): EndReason.SIGNALLING_LOST,
    (_IN, _ANSWERED, EndedBy.US): EndReason.AGENT_HUNG_UP,
    (_IN, _ANSWERED, EndedBy.FAR_END): EndReason.CALLER_HUNG_UP,
    (_IN, _ANSWERED, EndedBy.NOBODY): EndReason.SIGNALLING_LOST,
    (_OUT, _SETUP, EndedBy.US): EndReason.CANCELLED,
    (_OUT, _SETUP, EndedBy.FAR_END): EndReason.NOT_ANSWERED,
    (_OUT, _SETUP, EndedBy.NOBODY): EndReason.NOT_ANSWERED,
    (_OUT, _ANSWERED, EndedBy.US): EndReason.AGENT_HUNG_UP,
    (_OUT, _ANSWERED, EndedBy.FAR_END): EndReason.CALLER_HUNG_UP,
    (_OUT, _ANSWERED, EndedBy.NOBODY): EndReason.SIGNALLING_LOST,
}

_LOST_CODES = frozenset({408, 481, 503})
"""Codes that stand for silence in an answered call: no answer to us, or the dialog is unknown there."""


def end_reason(end: CallEnd, ours: EndReason | None = None) -> EndReason:
    """The one reason of a call's end; `ours` is what `hangup` or `reject` was given, and wins."""
    if ours is not None:
        return ours
    if end.phase is Phase.ANSWERED and end.sip_code in _LOST_CODES:
        return EndReason.SIGNALLING_LOST
    return _REASONS[end.direction, end.phase, end.ended_by]


_REFUSALS: dict[EndReason, int] = {
    EndReason.ENGINE_FAILED: 503,
    EndReason.DRAINED: 503,
    EndReason.INTERNAL_ERROR: 500,
    EndReason.MEDIA_LOST: 500,
    EndReason.NO_INPUT: 480,
    EndReason.MAX_DURATION: 480,
    EndReason.DEAD_AIR: 480,
}


def refusal_code(reason: EndReason) -> int:
    """SIP code with which an inbound call that was never answered ends for this reason."""
    return _REFUSALS.get(reason, 603)


def reason_header(reason: EndReason, cause: int = 0) -> str:
    """Value of the Reason header of a BYE or CANCEL (RFC 3326): a Q.850 cause and our own word.

    A `cause` of 0 takes the one that fits the reason.
    """
    cause = cause or _CAUSES.get(reason, 16)
    return f'Q.850;cause={cause};text="{reason.value}"'


_CAUSES: dict[EndReason, int] = {
    EndReason.ENGINE_FAILED: 41,
    EndReason.INTERNAL_ERROR: 41,
    EndReason.DRAINED: 41,
    EndReason.MEDIA_LOST: 102,
    EndReason.SIGNALLING_LOST: 102,
    EndReason.MAX_DURATION: 31,
    EndReason.DEAD_AIR: 31,
    EndReason.NO_INPUT: 31,
    EndReason.REJECTED: 21,
}
"""Q.850: 16 normal, 21 rejected, 31 normal unspecified, 41 temporary failure, 102 recovery on timer."""
