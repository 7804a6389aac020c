"""Status callbacks arrive in order, are tried again, and hold nothing up."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from gateway import twilio_ids
from gateway.twiml.client import AppClient, Ask, Visit
from gateway.twiml.form import CallFields, CallStatus, finished, progress
from gateway.twiml.settings import TwimlSettings
from gateway.twiml.status import StatusCallbacks
from media.legs.base import Direction, Parties
from tests.fakes.twilio_app import Said, ScriptedApp
from tests.virtual_time import run_virtual

URL = "https://app.example.com/status"


def tell(
    says: dict[str, Said | list[Said]], *words: str, waiting: int = 100
) -> tuple[ScriptedApp, dict[str, float]]:
    app = ScriptedApp(says)

    async def main() -> dict[str, float]:
        callbacks = StatusCallbacks(AppClient(TwimlSettings(), app, app), tries=3, waiting=waiting)
        line = callbacks.line(Visit())
        began = asyncio.get_running_loop().time()
        for word in words:
            line.tell(Ask(URL, "POST", (("CallStatus", word),)))
        assert asyncio.get_running_loop().time() == began
        await callbacks.aclose(60.0)
        return callbacks.stats()

    return app, run_virtual(main())


def test_they_come_in_order_however_slow_the_first_is() -> None:
    app, stats = tell({"/status": [Said(after=5.0), Said(status=204)]}, "initiated", "ringing", "completed")
    assert [form["CallStatus"] for form in app.forms("/status")] == ["initiated", "ringing", "completed"]
    assert stats == {"delivered": 3}


def test_a_server_in_trouble_is_asked_again_and_then_left() -> None:
    app, stats = tell({"/status": [Said(status=500), Said()]}, "ringing", "completed")
    assert [form["CallStatus"] for form in app.forms("/status")] == ["ringing", "ringing", "completed"]
    app, stats = tell({"/status": Said(status=500)}, "ringing")
    assert [round(one.at) for one in app.asked] == [0, 1, 5]
    assert stats == {"failed": 1}


def test_what_waits_is_bounded_and_counted() -> None:
    _, stats = tell({"/status": Said()}, *["ringing"] * 5, waiting=2)
    assert stats == {"dropped": 3, "delivered": 2}


def test_nothing_is_sent_where_nobody_asked() -> None:
    app = ScriptedApp({})

    async def main() -> None:
        callbacks = StatusCallbacks(AppClient(TwimlSettings(), app, app), tries=3, waiting=1)
        callbacks.line(Visit()).tell(Ask("", "POST"))
        await callbacks.aclose()

    run_virtual(main())
    assert app.asked == []


def test_the_fields_of_a_call_are_twilios() -> None:
    headers = (("x-case-id", "7"), ("subject", "no"))
    parties = Parties("+4930123", "100", display="Ada", forwarded_from="200", headers=headers)
    fields = CallFields.of("call-1", "AC" + "0" * 32, Direction.INBOUND, parties)
    assert dict(fields.form(CallStatus.RINGING, (("Digits", "1"),))) == {
        "CallSid": twilio_ids.call_sid("call-1"), "AccountSid": "AC" + "0" * 32,
        "From": "+4930123", "To": "100", "Caller": "+4930123", "Called": "100", "CallStatus": "ringing",
        "Direction": "inbound", "ApiVersion": "2010-04-01", "CallerName": "Ada", "ForwardedFrom": "200",
        "SipHeader_X-Case-Id": "7", "Digits": "1",
    }  # fmt: skip
    outbound = dict(CallFields.of("c", "AC", Direction.OUTBOUND, Parties("1", "2")).form(CallStatus.BUSY))
    assert outbound["Direction"] == "outbound-api" and "CallerName" not in outbound


def test_a_callback_says_when_and_the_last_one_how_long() -> None:
    assert dict(progress(2, datetime(2026, 11, 26, 4, 5, 6, tzinfo=UTC))) == {
        "Timestamp": "Thu, 26 Nov 2026 04:05:06 +0000", "CallbackSource": "call-progress-events",
        "SequenceNumber": "2",
    }  # fmt: skip
    assert dict(finished(61.4, 200)) == {"CallDuration": "61", "Duration": "2", "SipResponseCode": "200"}
    assert dict(finished(0.0)) == {"CallDuration": "0", "Duration": "0"}
