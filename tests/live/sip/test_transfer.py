"""We send the far end elsewhere: what it answers and reports, and what becomes of the call."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.sip.phone import Message, Phone, heard, loudness, pitch, tone
from tests.live.sip.process import GatewayProcess

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with GatewayProcess() as process:
        yield process


def up(gateway: GatewayProcess, phone: Phone) -> str:
    phone.call()
    return str(gateway.wait("LegAnswered")["leg"])


def echoes(phone: Phone) -> bool:
    back = heard(phone.rtp.talk(tone(440, 0.8)))[-2000:]
    return abs(pitch(back) - 440) < 6 and loudness(back) > 3000


def referred(
    gateway: GatewayProcess, phone: Phone, leg: str, order: str = "sip:4711@example.net 3"
) -> Message:
    """The REFER that the far end gets."""
    gateway.command(f"leg {leg} transfer {order}")
    return phone.expect("REFER")


def codes(gateway: GatewayProcess, leg: str) -> list[int]:
    return [r["code"] for r in gateway.drain(0.1) if r["event"] == "progress" and r["leg"] == leg]


def test_a_blind_transfer_follows_the_reports_to_success(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg = up(gateway, phone)
        refer = referred(gateway, phone, leg)
        assert refer["refer-to"].strip("<>") == "sip:4711@example.net" and refer["referred-by"]
        phone.respond(refer, 202)
        phone.notify("SIP/2.0 100 Trying")
        phone.notify("SIP/2.0 180 Ringing")
        phone.notify("SIP/2.0 200 OK", state="terminated;reason=noresource")
        gateway.wait("done", leg=leg, order="transfer")
        assert codes(gateway, leg) == [100, 180, 200]
        gateway.command(f"leg {leg} hangup")
        phone.respond(phone.expect("BYE"))
    assert gateway.wait("LegClosed")["reason"] == "transferred"


def test_a_number_is_sent_to_the_peers_own_host(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg = up(gateway, phone)
        refer = referred(gateway, phone, leg, "+49301234 3")
        assert refer["refer-to"].strip("<>") == "sip:+49301234@127.0.0.1"
        phone.respond(refer, 202)
        phone.bye()
    gateway.wait("LegClosed")


@pytest.mark.parametrize("code", [403, 405, 603])
def test_a_refused_refer_leaves_the_call_as_it_was(gateway: GatewayProcess, code: int) -> None:
    with Phone(gateway.sip) as phone:
        leg = up(gateway, phone)
        phone.respond(referred(gateway, phone, leg), code)
        assert gateway.wait("leg_error", leg=leg)["code"] == code
        assert echoes(phone)
        phone.bye()
    assert gateway.wait("LegClosed")["reason"] == "caller_hung_up"


def test_a_reported_failure_leaves_the_call_and_takes_it_back_from_hold(
    gateway: GatewayProcess,
) -> None:
    with Phone(gateway.sip) as phone:
        leg = up(gateway, phone)
        gateway.command(f"leg {leg} hold on")
        phone.respond(phone.expect("INVITE"), 200, body=phone.sdp(direction="recvonly"))
        phone.expect("ACK")
        gateway.wait("done", leg=leg, order="hold")
        phone.respond(referred(gateway, phone, leg), 202)
        phone.notify("SIP/2.0 100 Trying")
        phone.notify("SIP/2.0 486 Busy Here", state="terminated;reason=noresource")
        again = phone.expect("INVITE")
        assert "a=sendrecv" in again.body
        phone.respond(again, 200, body=phone.sdp())
        phone.expect("ACK")
        assert gateway.wait("leg_error", leg=leg)["code"] == 486
        assert codes(gateway, leg) == [100, 486]
        assert echoes(phone)
        refer = referred(gateway, phone, leg)  # and another try may work
        phone.respond(refer, 202)
        phone.notify("SIP/2.0 200 OK", state="terminated", event=f"refer;id={refer['cseq'].split()[0]}")
        gateway.wait("done", leg=leg, order="transfer")
        phone.bye()
    assert gateway.wait("LegClosed")["reason"] == "transferred"


@pytest.fixture(scope="module")
def brisk() -> Iterator[GatewayProcess]:
    """One that waits for two seconds only until it hears somebody again."""
    with GatewayProcess(transfer_return_s=2.0) as process:
        yield process


def lost_after_its_transfer(gateway: GatewayProcess, phone: Phone) -> str:
    """A far end that was heard, went for a transfer, and reports that the target is busy."""
    leg = up(gateway, phone)
    phone.rtp.talk(tone(440, 0.6))
    phone.respond(referred(gateway, phone, leg), 202)
    phone.notify("SIP/2.0 486 Busy Here", state="terminated;reason=noresource")
    assert gateway.wait("leg_error", leg=leg)["code"] == 486
    return leg


@pytest.mark.parametrize("offered", [200, 481])
def test_a_far_end_that_is_not_heard_again_is_asked_and_then_hung_up(
    brisk: GatewayProcess, offered: int
) -> None:
    with Phone(brisk.sip) as phone:
        leg = lost_after_its_transfer(brisk, phone)
        again = phone.expect("INVITE")
        assert "a=sendrecv" in again.body
        phone.respond(again, offered, body=phone.sdp() if offered == 200 else "")
        phone.expect("ACK")
        if offered == 200:
            bye = phone.expect("BYE")
            assert "media_lost" in bye["reason"]
            phone.respond(bye)
        closed = brisk.wait("LegClosed", leg=leg)
    assert closed["reason"] == ("media_lost" if offered == 200 else "signalling_lost")


def test_a_far_end_that_is_heard_again_goes_on(brisk: GatewayProcess) -> None:
    with Phone(brisk.sip) as phone:
        lost_after_its_transfer(brisk, phone)
        again = phone.expect("INVITE")  # it had lost its media, and has it again
        phone.respond(again, 200, body=phone.sdp())
        phone.expect("ACK")
        phone.rtp.talk(tone(440, 1.5))
        assert echoes(phone)
        phone.bye()
    assert brisk.wait("LegClosed")["reason"] == "caller_hung_up"


def test_a_far_end_that_held_us_for_the_transfer_is_asked_back_when_it_fails(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg = up(gateway, phone)
        phone.respond(referred(gateway, phone, leg), 202)
        phone.reinvite("sendonly")
        gateway.wait("LegHeld")
        phone.notify("SIP/2.0 404 Not Found", state="terminated;reason=noresource")
        again = phone.expect("INVITE")
        assert "a=sendrecv" in again.body
        phone.respond(again, 200, body=phone.sdp())
        phone.expect("ACK")
        gateway.wait("LegResumed")
        assert gateway.wait("leg_error", leg=leg)["code"] == 404
        assert echoes(phone)
        phone.bye()
    gateway.wait("LegClosed")


@pytest.mark.parametrize("agrees", [True, False])
def test_silence_ends_with_the_deadline_and_late_news_changes_nothing(
    gateway: GatewayProcess, agrees: bool
) -> None:
    with Phone(gateway.sip) as phone:
        leg = up(gateway, phone)
        refer = referred(gateway, phone, leg, "sip:4711@example.net 1")
        if agrees:
            phone.respond(refer, 202)
        failed = gateway.wait("leg_error", leg=leg, timeout=2.0)
        assert failed["code"] == 408
        assert ("agreed" in failed["detail"]) == agrees
        if agrees:
            phone.notify("SIP/2.0 200 OK", state="terminated;reason=noresource")
            assert codes(gateway, leg) == []
        assert echoes(phone)
        phone.bye()
    assert gateway.wait("LegClosed")["reason"] == "caller_hung_up"


def test_a_bye_right_after_202_means_that_it_has_gone(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg = up(gateway, phone)
        phone.respond(referred(gateway, phone, leg), 202)
        phone.bye()
        gateway.wait("done", leg=leg, order="transfer")
    assert gateway.wait("LegClosed")["reason"] == "transferred"


@pytest.mark.parametrize("rings", [True, False])
def test_a_bye_in_the_middle_is_a_far_end_that_gave_up(gateway: GatewayProcess, rings: bool) -> None:
    with Phone(gateway.sip) as phone:
        leg = up(gateway, phone)
        refer = referred(gateway, phone, leg)
        if rings:
            phone.respond(refer, 202)
            phone.notify("SIP/2.0 180 Ringing")
        phone.bye()
        assert gateway.wait("leg_error", leg=leg)["code"] == 487
    assert gateway.wait("LegClosed")["reason"] == "caller_hung_up"


def test_reports_that_stop_without_an_end_are_a_failure(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg = up(gateway, phone)
        phone.respond(referred(gateway, phone, leg), 202)
        phone.notify("", state="terminated;reason=giveup")
        assert gateway.wait("leg_error", leg=leg)["code"] == 500
        assert echoes(phone)
        phone.bye()
    gateway.wait("LegClosed")


def test_a_far_end_that_will_not_report_is_believed(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg = up(gateway, phone)
        phone.respond(referred(gateway, phone, leg), 202, headers=[("Refer-Sub", "false")])
        gateway.wait("done", leg=leg, order="transfer")
        phone.bye()
    assert gateway.wait("LegClosed")["reason"] == "transferred"


def test_news_may_overtake_the_answer(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg = up(gateway, phone)
        refer = referred(gateway, phone, leg)
        phone.notify("SIP/2.0 180 Ringing")
        phone.respond(refer, 202)
        phone.notify("SIP/2.0 200 OK", state="terminated;reason=noresource")
        gateway.wait("done", leg=leg, order="transfer")
        assert codes(gateway, leg) == [180, 200]
        phone.bye()
    gateway.wait("LegClosed")


def test_an_attended_transfer_names_the_other_call(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone, Phone(gateway.sip) as other:
        leg, there = up(gateway, phone), up(gateway, other)
        gateway.command(f"leg {leg} transfer_to {there} 3")
        refer = phone.expect("REFER")
        target = refer["refer-to"]
        assert f"127.0.0.1:{other.wire.port}" in target and "Require=replaces" in target
        assert other.seen_from_the_gateway in target
        phone.respond(refer, 202)
        phone.notify("SIP/2.0 200 OK", state="terminated;reason=noresource")
        gateway.wait("done", leg=leg, order="transfer_to")
        other.bye()  # its call was replaced by that of the phone
        gateway.command(f"leg {leg} hangup")
        phone.respond(phone.expect("BYE"))
        assert gateway.wait("LegClosed", leg=there)["reason"] == "caller_hung_up"
        assert gateway.wait("LegClosed", leg=leg)["reason"] == "transferred"


def test_a_far_end_cannot_be_connected_with_a_call_that_is_over(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone, Phone(gateway.sip) as other:
        leg, there = up(gateway, phone), up(gateway, other)
        other.bye()
        gateway.wait("LegClosed", leg=there)
        gateway.command(f"leg {leg} transfer_to {there} 3")
        assert gateway.wait("leg_error", leg=leg)["code"] == 481
        phone.bye()
    gateway.wait("LegClosed")
