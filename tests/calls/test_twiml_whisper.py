"""Documents for the called party: heard by him alone before the two are connected, and able to prevent it."""

from __future__ import annotations

import numpy as np
import pytest

from gateway import twilio_ids
from media.legs.base import DtmfReceived, EndReason
from tests.calls.test_twiml import Came, Says, place
from tests.fakes.callee import Callee
from tests.fakes.twilio_app import Said, twiml

DIAL = (
    '<Dial action="/after" callerId="4711" {more}><Number url="/screen" statusCallback="/n" '
    'statusCallbackEvent="answered completed">300</Number></Dial>'
)
AFTER = twiml("<Say>Nobody took you.</Say>")


def whispered(
    screen: str | Said, callee: Callee, more: str = "", until: float = 60.0, **others: Said
) -> Came:
    says: Says = {
        "/voice": twiml(DIAL.format(more=more)),
        "/screen": twiml(screen) if isinstance(screen, str) else screen,
        "/after": AFTER,
        "/n": Said(),
        "/fallback": twiml("<Say>Broken.</Say>"),
        **{f"/{name}": said for name, said in others.items()},
    }
    return place(says, callees=[callee], until=until)


def presses(callee: Callee, at: float, key: str) -> Callee:
    """He presses a key so many seconds into the call."""
    callee.script.append((at, lambda: callee.tell(DtmfReceived(key, at))))
    return callee


def heard(phone: Callee, start: float, end: float) -> set[int]:
    """Levels in a stretch of time."""
    return {int(np.abs(pcm).max()) for at, _, pcm in phone.playout.heard if start < at < end}


def test_he_hears_his_document_and_then_the_caller_who_heard_it_ring() -> None:
    callee = Callee(answers=2.0, hangs_up=14.0, says=[(0.0, 9.0)])
    came = whispered("<Say>A call from the website about your new car.</Say><Pause length='4'/>", callee)
    assert came.tts.spoken == ["A call from the website about your new car.", "Nobody took you."]
    assert 100 in heard(callee, 2.0, 3.0) and heard(callee, 3.2, 14.0) <= {0}
    levels = [(at, int(np.abs(pcm).max())) for at, _, pcm in came.caller.playout.heard]
    assert all(level != 3000 for at, level in levels if at < 6.9), "nothing of him before"
    assert any(level not in (0, 3000) for at, level in levels if 6.1 < at < 6.9), "it still rings"
    assert {level for at, level in levels if 9.0 < at < 10.8} == {3000}
    assert came.told("/after", "DialCallStatus", "DialBridged", "DialCallDuration") == [
        ("completed", "true", "7")
    ]
    assert came.told("/n", "CallStatus") == [("in-progress",), ("completed",)]
    assert came.caller.playout.refused == callee.playout.refused == 0
    assert came.stages == ["twiml", "dial", "whisper"]


def test_his_app_is_told_of_his_call() -> None:
    came = whispered("<Pause/>", Callee(answers=1.0, hangs_up=5.0))
    (sid,) = {form["CallSid"] for form in came.app.forms("/n")}
    names = ("CallSid", "ParentCallSid", "From", "To", "Direction", "CallStatus")
    assert came.told("/screen", *names) == [
        (sid, twilio_ids.call_sid("call-1"), "4711", "300", "outbound-dial", "in-progress")
    ]


SCREEN = '<Gather numDigits="1" timeout="3" action="/{}"><Say>Press one.</Say></Gather><Hangup/>'


def test_he_takes_the_call_by_a_key_of_his() -> None:
    callee = presses(Callee(answers=1.0, hangs_up=9.0), 3.0, "1")
    came = whispered(SCREEN.format("took"), callee, took=twiml("<Say>Connecting.</Say>"))
    assert came.told("/took", "Digits") == [("1",)]
    assert came.told("/after", "DialCallStatus", "DialBridged") == [("completed", "true")]
    assert came.caller.pressed == "", "the key is his document's, not the caller's"


@pytest.mark.parametrize("more", ["", 'answerOnBridge="true"', 'sequential="true"'])
def test_who_does_not_take_it_is_hung_up_and_the_caller_goes_on(more: str) -> None:
    callee = Callee(answers=1.0)
    came = whispered(SCREEN.format("took"), callee, more)
    assert came.told("/after", "DialCallStatus", "DialBridged") == [("no-answer", "false")]
    assert came.tts.spoken == ["Press one.", "Nobody took you."]
    assert callee.hung_up[0] is EndReason.AGENT_HUNG_UP
    assert came.told("/n", "CallStatus") == [("in-progress",), ("completed",)]
    assert came.reason is EndReason.DIALPLAN_HUNG_UP


@pytest.mark.parametrize("at", [1.3, 2.5])
def test_he_may_hang_up_over_it(at: float) -> None:
    came = whispered("<Say>one two three four five six seven eight nine ten</Say><Pause length='5'/>",
                     Callee(answers=1.0, hangs_up=at))  # fmt: skip
    assert came.told("/after", "DialCallStatus", "DialBridged") == [("no-answer", "false")]


@pytest.mark.parametrize(
    "screen",
    [
        Said(status=500),
        "<Dial>301</Dial>",
        '<Connect><Stream url="wss://bot.example.com/"/></Connect>',
        "<Record/>",
        "<Reject/>",
    ],
    ids=["500", "Dial", "Connect", "Record", "Reject"],
)
def test_a_document_that_cannot_be_run_connects_nobody(screen: str | Said) -> None:
    callee = Callee(answers=1.0)
    came = whispered(screen, callee)
    assert came.told("/after", "DialCallStatus", "DialBridged") == [("failed", "false")]
    assert callee.hung_up and came.tts.spoken == ["Nobody took you."]
    assert came.network.dialled == [("sip:300@pbx.example", "pbx", "4711")]


def test_a_document_without_end_keeps_nobody_waiting_for_ever() -> None:
    came = whispered("<Pause length='600'/>", callee := Callee(answers=1.0), until=300.0)
    assert callee.hung_up
    assert came.told("/after", "DialCallStatus") == [("failed",)]


def test_a_caller_who_gives_up_ends_it() -> None:
    callee = Callee(answers=1.0)
    says: Says = {
        "/voice": twiml(DIAL.format(more="")),
        "/screen": twiml("<Pause length='30'/>"),
        "/n": Said(),
    }
    says["/after"] = AFTER
    came = place(says, callees=[callee], until=5.0)
    assert callee.hung_up and came.reason is EndReason.CALLER_HUNG_UP
    assert came.told("/n", "CallStatus") == [("in-progress",), ("completed",)]


def test_of_several_who_ring_the_first_who_answers_hears_it_and_the_others_stop() -> None:
    one, other = Callee(answers=3.0, name="slow"), Callee(answers=1.0, hangs_up=8.0, name="quick")
    numbers = "".join(f'<Number url="/screen">{number}</Number>' for number in (300, 301))
    says: Says = {
        "/voice": twiml(f'<Dial action="/after">{numbers}</Dial>'),
        "/screen": twiml("<Say>one two three four five six seven eight nine ten</Say><Pause length='3'/>"),
        "/after": AFTER,
    }
    came = place(says, callees=[one, other])
    assert len(came.app.forms("/screen")) == 1 and one.hung_up and not one.up
    assert came.told("/after", "DialBridged") == [("true",)]
