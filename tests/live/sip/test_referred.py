"""The far end asks us to call somebody else in its place: denied, unless its trunk lets somebody decide."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.sip.phone import Phone, heard, pitch, tone
from tests.live.sip.process import GatewayProcess

pytestmark = pytest.mark.live

ATTENDED = "<sip:4711@example.net?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>"
TARGET = ("Refer-To", "<sip:4711@example.net>")


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    asks = {"name": "local", "sources": ["127.0.0.0/8"], "outbound": True, "refer": "ask"}
    with GatewayProcess(trunks=[asks]) as process:
        yield process


def asked(gateway: GatewayProcess, phone: Phone) -> tuple[str, int]:
    """A call whose far end has just asked; its leg and the CSeq of the REFER."""
    phone.call()
    leg = str(gateway.wait("LegAnswered")["leg"])
    phone.rtp.talk(tone(440, 0.1))
    cseq, _ = phone.request("REFER", headers=[TARGET])
    told = gateway.wait("TransferAsked", leg=leg)
    assert (told["target"], told["attended"]) == ("sip:4711@example.net", False)
    return leg, cseq


def echoes(phone: Phone) -> bool:
    return abs(pitch(heard(phone.rtp.talk(tone(440, 0.6)))[-2000:]) - 440) < 6


def test_denied_by_default_and_counted() -> None:
    with GatewayProcess() as gateway, Phone(gateway.sip) as phone:
        phone.call()
        for count in (1, 2):
            phone.request("REFER", headers=[TARGET])
            phone.expect(603)
            assert gateway.stats()["refusals"]["refer_denied"] == count
        assert echoes(phone)
        phone.bye()
        gateway.wait("LegClosed")
        assert "TransferAsked" not in {report["event"] for report in gateway.drain(0.1)}


def test_accepted_and_reported_on_to_its_end(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg, cseq = asked(gateway, phone)
        gateway.command(f"leg {leg} accept")
        assert phone.expect(202)["contact"]
        reports = []
        for code in ("", "180", "200"):
            if code:
                gateway.command(f"leg {leg} report {code}")
            notify = phone.expect("NOTIFY")
            assert notify["event"] == f"refer;id={cseq}" and notify["contact"]
            assert notify["content-type"] == "message/sipfrag;version=2.0"
            reports.append((notify.body.strip(), notify["subscription-state"].partition(";")[0]))
            phone.respond(notify)
        assert reports == [
            ("SIP/2.0 100 Trying", "active"),
            ("SIP/2.0 180 Ringing", "active"),
            ("SIP/2.0 200 OK", "terminated"),
        ]
        gateway.command(f"leg {leg} report 200")
        assert gateway.wait("leg_error", leg=leg)["code"] == 481
        phone.bye()
    assert gateway.wait("LegClosed")["reason"] == "caller_hung_up"


def test_refused_by_whoever_decides(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg, _ = asked(gateway, phone)
        gateway.command(f"leg {leg} refuse 403")
        phone.expect(403)
        assert echoes(phone)
        phone.bye()
    gateway.wait("LegClosed")


def test_nobody_decides_in_time(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg, _ = asked(gateway, phone)
        phone.expect(603, timeout=7.0)
        gateway.command(f"leg {leg} accept")
        assert gateway.wait("leg_error", leg=leg)["code"] == 481
        phone.bye()
    gateway.wait("LegClosed")


def test_a_repeated_request_is_asked_once_and_answered_again(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.call()
        leg = gateway.wait("LegAnswered")["leg"]
        phone.rtp.talk(tone(440, 0.1))
        cseq, branch = phone.request("REFER", headers=[TARGET])
        phone.request("REFER", headers=[TARGET], cseq=cseq, branch=branch)
        gateway.wait("TransferAsked", leg=leg)
        gateway.command(f"leg {leg} refuse")
        phone.expect(603)
        phone.request("REFER", headers=[TARGET], cseq=cseq, branch=branch)
        phone.expect(603)
        assert "TransferAsked" not in {report["event"] for report in gateway.drain(0.2)}
        phone.bye()
    gateway.wait("LegClosed")


def test_a_second_request_meets_a_refusal_while_the_first_is_open(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg, _ = asked(gateway, phone)
        phone.request("REFER", headers=[TARGET])
        phone.expect(603)
        gateway.command(f"leg {leg} accept")
        phone.expect(202)
        phone.respond(phone.expect("NOTIFY"))
        phone.bye()
    gateway.wait("LegClosed")


def test_reports_that_nobody_wants_any_more_end_no_call(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg, _ = asked(gateway, phone)
        gateway.command(f"leg {leg} accept")
        phone.expect(202)
        phone.respond(phone.expect("NOTIFY"), 481)
        assert echoes(phone)
        phone.bye()
    assert gateway.wait("LegClosed")["reason"] == "caller_hung_up"


def test_who_hangs_up_before_the_decision_leaves_nothing_behind(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg, _ = asked(gateway, phone)
        phone.bye()
        gateway.wait("LegClosed", leg=leg)
        gateway.command(f"leg {leg} accept")
        assert gateway.wait("leg_error", leg=leg)["code"] == 481


def test_an_attended_one_says_so(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.call()
        leg = gateway.wait("LegAnswered")["leg"]
        phone.rtp.talk(tone(440, 0.1))
        phone.request("REFER", headers=[("Refer-To", ATTENDED)])
        assert gateway.wait("TransferAsked", leg=leg)["attended"]
        gateway.command(f"leg {leg} refuse")
        phone.expect(603)
        phone.request("REFER")
        phone.expect(400)
        phone.bye()
    gateway.wait("LegClosed")
