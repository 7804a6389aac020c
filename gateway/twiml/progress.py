"""Status callbacks of whole calls: ringing, answered, completed, as somebody asked for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gateway.calls.call import Call
from gateway.calls.call_events import CallEvent, Ringing
from gateway.calls.record import CallRecord
from gateway.observers import SilentObserver
from gateway.twiml.client import Ask
from gateway.twiml.form import CallFields, CallStatus, finished, progress
from gateway.twiml.status import StatusLine
from gateway.twiml.verbs import Callback
from media.frame import AudioFrame, Voice
from media.legs.base import EndReason, LegClosed, LegEvent

_ENDS: dict[EndReason, CallStatus] = {
    EndReason.NOT_ANSWERED: CallStatus.NO_ANSWER,
    EndReason.CANCELLED: CallStatus.CANCELED,
    EndReason.REJECTED: CallStatus.BUSY,
}
_BUSY = frozenset({486, 600, 603})


@dataclass(slots=True)
class _Watched:
    fields: CallFields
    callback: Callback
    line: StatusLine
    sequence: int = 0
    answered: bool = False


class CallProgress(SilentObserver):
    """Tells of the calls that somebody asked about."""

    def __init__(self, wall: Callable[[], datetime]) -> None:
        self._wall = wall
        self._watched: dict[str, _Watched] = {}

    def watch(
        self, call_id: str, fields: CallFields, callback: Callback, line: StatusLine, *, answered: bool
    ) -> None:
        """Tell how this call goes on. `answered`: it was answered before."""
        watched = self._watched[call_id] = _Watched(fields, callback, line)
        if answered:
            watched.answered = True
        elif fields.direction == "inbound":
            self._tell(watched, "ringing", CallStatus.RINGING)
        else:
            self._tell(watched, "initiated", CallStatus.INITIATED)

    def answered(self, call_id: str, codec: str, sample_rate: int) -> None:
        """Audio flows both ways."""
        if (watched := self._watched.get(call_id)) is not None and not watched.answered:
            watched.answered = True
            self._tell(watched, "answered", CallStatus.IN_PROGRESS)

    def happened(self, call_id: str, event: CallEvent) -> None:
        """The far end of a call of ours rings."""
        watched = self._watched.get(call_id)
        if watched is not None and isinstance(event, Ringing) and watched.fields.direction != "inbound":
            self._tell(watched, "ringing", CallStatus.RINGING)

    def follow(self, call: Call) -> None:
        """A call that is refused leaves no record: its leg tells that it is over."""
        call.watch(_End(self, call.call_id))

    def closed(self, call_id: str, end: LegClosed) -> None:
        """The leg is over; of a call that was answered, the record is waited for."""
        watched = self._watched.get(call_id)
        if watched is not None and not watched.answered:
            del self._watched[call_id]
            self._tell(watched, "completed", _outcome(end.reason, end.sip_code))

    def ended(self, record: CallRecord) -> None:
        """The call is over."""
        if (watched := self._watched.pop(record.call_id, None)) is None:
            return
        status = CallStatus.COMPLETED
        if not watched.answered:
            status = _outcome(record.end_reason, record.sip_code)
        self._tell(watched, "completed", status, record)

    def _tell(
        self, watched: _Watched, event: str, status: CallStatus, record: CallRecord | None = None
    ) -> None:
        if event not in watched.callback.events:
            return
        extra = progress(watched.sequence, self._wall())
        watched.sequence += 1
        if event == "completed":
            extra += finished(record.duration, record.sip_code) if record is not None else finished(0.0)
        form = watched.fields.form(status, extra)
        watched.line.tell(Ask(watched.callback.url, watched.callback.method, form))


class _End:
    """Waits for a leg's end. Serves `LegListener`."""

    def __init__(self, progress: CallProgress, call_id: str) -> None:
        self._progress = progress
        self._call_id = call_id

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        """Not for us."""

    def notice(self, event: LegEvent) -> None:
        if isinstance(event, LegClosed):
            self._progress.closed(self._call_id, event)


def _outcome(reason: EndReason, sip_code: int) -> CallStatus:
    """What Twilio calls a call that was not answered."""
    status = _ENDS.get(reason, CallStatus.FAILED)
    return CallStatus.BUSY if status is CallStatus.NO_ANSWER and sip_code in _BUSY else status
