"""The calls of this node by Twilio's names for them: those that run, and those that ended lately."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from gateway.calls.call_events import CallEvent, MachineJudged, Ringing
from gateway.calls.record import CallRecord
from gateway.observers import SilentObserver
from gateway.twilio_ids import call_sid
from gateway.twiml.form import CallStatus
from media.legs.base import Direction, EndReason, Parties

_KEPT = 10_000
_BUSY = frozenset({486, 600, 603})
_NO_ANSWER = frozenset({0, 408, 480, 487})


@dataclass(slots=True)
class BookedCall:
    """What Twilio's Calls resource tells of a call."""

    call_id: str
    direction: Direction
    parties: Parties
    created: datetime
    status: CallStatus
    answered: datetime | None = None
    ended: datetime | None = None
    answered_by: str | None = None
    sid: str = field(init=False)

    def __post_init__(self) -> None:
        self.sid = call_sid(self.call_id)

    @property
    def running(self) -> bool:
        return self.ended is None


class TwilioBook(SilentObserver):
    """Told of every call; keeps the last so many."""

    def __init__(self, wall: Callable[[], datetime]) -> None:
        self._wall = wall
        self._calls: OrderedDict[str, BookedCall] = OrderedDict()
        """By call id, in the order in which they began."""
        self._sids: dict[str, str] = {}

    def began(self, call_id: str, direction: Direction, parties: Parties) -> None:
        """A call was admitted, or placed."""
        status = CallStatus.RINGING if direction is Direction.INBOUND else CallStatus.INITIATED
        booked = BookedCall(call_id, direction, parties, self._wall(), status)
        self._calls[call_id] = booked
        self._sids[booked.sid] = call_id
        if len(self._calls) > _KEPT:
            gone = self._calls.popitem(last=False)[1]
            self._sids.pop(gone.sid, None)

    def answered(self, call_id: str, codec: str, sample_rate: int) -> None:
        if (call := self._calls.get(call_id)) is not None:
            call.answered = self._wall()
            call.status = CallStatus.IN_PROGRESS

    def happened(self, call_id: str, event: CallEvent) -> None:
        if (call := self._calls.get(call_id)) is None:
            return
        match event:
            case Ringing() if call.status is CallStatus.INITIATED:
                call.status = CallStatus.RINGING
            case MachineJudged(verdict="machine", beep=beep):
                call.answered_by = "machine_end_beep" if beep else "machine_start"
            case MachineJudged(verdict=verdict):
                call.answered_by = verdict

    def ended(self, record: CallRecord) -> None:
        if (call := self._calls.get(record.call_id)) is not None:
            call.ended = self._wall()
            call.status = CallStatus.COMPLETED if call.answered is not None else _unanswered(record)

    def gone(self, call_id: str) -> None:
        """A call that left no record."""
        if (call := self._calls.get(call_id)) is not None and call.ended is None:
            call.ended, call.status = self._wall(), CallStatus.FAILED

    def find(self, sid: str) -> BookedCall | None:
        """The call of this CallSid."""
        return self._calls.get(self._sids.get(sid, ""))

    def latest(self) -> list[BookedCall]:
        """All of them, the newest first."""
        return list(reversed(self._calls.values()))


def _unanswered(record: CallRecord) -> CallStatus:
    if record.end_reason in (EndReason.CANCELLED, EndReason.API_HUNG_UP):
        return CallStatus.CANCELED
    if record.end_reason is EndReason.NOT_ANSWERED:
        if record.sip_code in _BUSY:
            return CallStatus.BUSY
        if record.sip_code in _NO_ANSWER:
            return CallStatus.NO_ANSWER
    return CallStatus.FAILED
