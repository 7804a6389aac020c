"""The form fields that tell an app about a call, by their names at Twilio.

twilio.com/docs/voice/twiml#request-parameters and twilio.com/docs/voice/api/call-resource#statuscallback.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from enum import StrEnum
from typing import TypeAlias

from gateway import twilio_ids
from media.legs.base import Direction, Parties

Fields: TypeAlias = tuple[tuple[str, str], ...]

API_VERSION = "2010-04-01"
MOST_SIP_HEADERS = 20


class CallStatus(StrEnum):
    """Where a call stands."""

    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CallFields:
    """What stays the same through a call."""

    call_sid: str
    account_sid: str
    caller: str
    called: str
    direction: str
    """`inbound`, `outbound-api` or `outbound-dial`."""
    caller_name: str = ""
    forwarded_from: str = ""
    parent: str = ""
    """CallSid of the call that dialled this one."""
    headers: Fields = ()
    """The INVITE's X- headers, as `SipHeader_X-Name`."""

    @classmethod
    def of(cls, call_id: str, account_sid: str, direction: Direction, parties: Parties) -> CallFields:
        """Of a call that has a leg."""
        inbound = direction is Direction.INBOUND
        return cls(
            twilio_ids.call_sid(call_id),
            account_sid,
            parties.caller,
            parties.called,
            "inbound" if inbound else "outbound-api",
            parties.display,
            parties.forwarded_from,
            headers=_sip_headers(parties) if inbound else (),
        )

    def form(self, status: CallStatus, extra: Fields = ()) -> Fields:
        """The fields of a request; `extra` ones come last."""
        fields = [
            ("CallSid", self.call_sid),
            ("AccountSid", self.account_sid),
            ("From", self.caller),
            ("To", self.called),
            ("CallStatus", str(status)),
            ("Direction", self.direction),
            ("ApiVersion", API_VERSION),
            ("Caller", self.caller),
            ("Called", self.called),
        ]
        optional = (
            ("CallerName", self.caller_name),
            ("ForwardedFrom", self.forwarded_from),
            ("ParentCallSid", self.parent),
        )
        fields += [(name, value) for name, value in optional if value]
        return (*fields, *self.headers, *extra)


def _sip_headers(parties: Parties) -> Fields:
    found = [(f"SipHeader_{name.title()}", value) for name, value in parties.headers if name.startswith("x-")]
    return tuple(found[:MOST_SIP_HEADERS])


def progress(sequence: int, at: datetime) -> Fields:
    """What every status callback of a call says beside the call's own fields. `sequence` counts from 0."""
    return (
        ("Timestamp", format_datetime(at)),
        ("CallbackSource", "call-progress-events"),
        ("SequenceNumber", str(sequence)),
    )


def finished(seconds: float, sip_code: int = 0) -> Fields:
    """What the last status callback adds: the seconds from the answer, and the far end's last SIP code."""
    whole = round(seconds)
    minutes = -(-whole // 60)
    code = (("SipResponseCode", str(sip_code)),) if sip_code else ()
    return (("CallDuration", str(whole)), ("Duration", str(minutes)), *code)
