"""Status callbacks of whole calls: each step once, in order, and how it ended."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.calls.call_events import HoldChanged, Ringing
from gateway.calls.record import CallRecord
from gateway.twiml.client import AppClient, Ask, Visit
from gateway.twiml.form import CallFields
from gateway.twiml.progress import CallProgress
from gateway.twiml.settings import TwimlSettings
from gateway.twiml.status import StatusCallbacks, StatusLine
from gateway.twiml.verbs import Callback
from media.legs.base import Direction, EndReason, Parties
from tests.fakes.twilio_app import ScriptedApp

ALL = Callback("http://app/status", "POST", ("initiated", "ringing", "answered", "completed"))


class Line(StatusLine):
    """Keeps what is told."""

    def __init__(self) -> None:
        app = ScriptedApp({})
        super().__init__(StatusCallbacks(AppClient(TwimlSettings(), app, app), tries=1, waiting=1), Visit())
        self.told: list[dict[str, str]] = []

    def tell(self, ask: Ask) -> None:
        self.told.append(dict(ask.fields))


def watched(
    direction: Direction, callback: Callback = ALL, *, answered: bool = False
) -> tuple[CallProgress, Line]:
    made, line = CallProgress(lambda: datetime(2026, 11, 26, tzinfo=UTC)), Line()
    fields = CallFields.of("call-1", "AC" + "0" * 32, direction, Parties("1", "2"))
    made.watch("call-1", fields, callback, line, answered=answered)
    return made, line


def record(reason: EndReason, sip_code: int = 0, seconds: float = 0.0) -> CallRecord:
    made = CallRecord("call-1", Direction.INBOUND, Parties("1", "2"), "route", "")
    made.end_reason, made.sip_code, made.duration = reason, sip_code, seconds
    return made


def statuses(line: Line) -> list[str]:
    return [form["CallStatus"] for form in line.told]


def test_a_call_of_ours_goes_through_all_four() -> None:
    made, line = watched(Direction.OUTBOUND)
    made.happened("call-1", Ringing(1.0))
    made.happened("call-1", HoldChanged(2.0, True, False))
    made.happened("call-2", Ringing(1.0))
    for _ in range(2):
        made.answered("call-1", "PCMU", 8000)
    made.ended(record(EndReason.CALLER_HUNG_UP, 200, 61.2))
    made.ended(record(EndReason.CALLER_HUNG_UP))
    assert statuses(line) == ["initiated", "ringing", "in-progress", "completed"]
    assert [form["SequenceNumber"] for form in line.told] == ["0", "1", "2", "3"]
    assert (line.told[3]["CallDuration"], line.told[3]["SipResponseCode"]) == ("61", "200")


def test_a_call_to_us_rings_from_the_start() -> None:
    made, line = watched(Direction.INBOUND)
    made.happened("call-1", Ringing(1.0))
    made.answered("call-1", "PCMU", 8000)
    assert statuses(line) == ["ringing", "in-progress"]
    made, line = watched(Direction.INBOUND, answered=True)
    made.answered("call-1", "PCMU", 8000)
    made.ended(record(EndReason.DIALPLAN_HUNG_UP))
    assert statuses(line) == ["completed"]


def test_only_what_was_asked_for_is_told() -> None:
    made, line = watched(Direction.OUTBOUND, Callback("http://app/status"))
    made.answered("call-1", "PCMU", 8000)
    made.ended(record(EndReason.AGENT_HUNG_UP))
    assert statuses(line) == ["completed"]


@pytest.mark.parametrize(
    ("reason", "sip_code", "status"),
    [
        (EndReason.NOT_ANSWERED, 408, "no-answer"), (EndReason.NOT_ANSWERED, 486, "busy"),
        (EndReason.CANCELLED, 0, "canceled"), (EndReason.REJECTED, 0, "busy"),
        (EndReason.SIGNALLING_LOST, 503, "failed"),
    ],
)  # fmt: skip
def test_a_call_that_was_not_answered_says_why(reason: EndReason, sip_code: int, status: str) -> None:
    made, line = watched(Direction.OUTBOUND)
    made.ended(record(reason, sip_code))
    assert statuses(line) == ["initiated", status]
