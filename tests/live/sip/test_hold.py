"""We put the far end on hold, and take it back; both at once is glare."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.live.sip.phone import Phone, heard, loudness, pitch, tone
from tests.live.sip.process import GatewayProcess

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with GatewayProcess() as process:
        yield process


def up(gateway: GatewayProcess, phone: Phone) -> str:
    """A call that is up; returns its leg."""
    phone.call()
    return str(gateway.wait("LegAnswered")["leg"])


def echoes(phone: Phone) -> bool:
    back = heard(phone.rtp.talk(tone(440, 0.8)))[-2000:]
    return abs(pitch(back) - 440) < 6 and loudness(back) > 3000


def agree(phone: Phone, direction: str) -> str:
    """Take the gateway's offer with this direction; returns the offer."""
    invite = phone.expect("INVITE")
    phone.respond(invite, 200, body=phone.sdp(direction=direction))
    phone.expect("ACK")
    return invite.body


def test_on_hold_the_far_end_hears_us_and_is_not_heard(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg = up(gateway, phone)
        assert echoes(phone)
        gateway.command(f"leg {leg} hold on")
        assert "a=sendonly" in agree(phone, "recvonly")
        gateway.wait("done", leg=leg, order="hold")
        phone.rtp.talk(tone(440, 0.3))  # what was under way
        back = heard(phone.rtp.talk(tone(440, 0.6)))
        assert len(back) > 3000 and loudness(back[-2000:]) < 100, "we go on sending, and hear nothing"
        gateway.command(f"leg {leg} hold off")
        assert "a=sendrecv" in agree(phone, "sendrecv")
        gateway.wait("done", leg=leg, order="hold")
        assert echoes(phone)
        assert not [report for report in gateway.drain(0.1) if report["event"] in ("LegHeld", "LegResumed")]
        phone.bye()
    gateway.wait("LegClosed")


def test_a_hold_that_is_refused_changes_nothing(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg = up(gateway, phone)
        gateway.command(f"leg {leg} hold on")
        phone.respond(phone.expect("INVITE"), 488)
        phone.expect("ACK")
        assert gateway.wait("leg_error", leg=leg)["code"] == 488
        assert echoes(phone)
        phone.bye()
    gateway.wait("LegClosed")


def test_glare_is_waited_out(gateway: GatewayProcess) -> None:
    """RFC 3261 section 14.1: 491 to both; who does not own the Call-ID tries again within two seconds."""
    with Phone(gateway.sip) as phone:
        leg = up(gateway, phone)
        gateway.command(f"leg {leg} hold on")
        invite = phone.expect("INVITE")
        phone.invite(sdp=phone.sdp(direction="sendonly"))
        phone.refused(491)
        phone.respond(invite, 491)
        phone.expect("ACK")
        refused_at = time.monotonic()
        assert "a=sendonly" in agree(phone, "recvonly")
        assert time.monotonic() - refused_at < 2.4
        gateway.wait("done", leg=leg, order="hold")
        phone.bye()
    gateway.wait("LegClosed")


def test_a_hold_cannot_outlive_the_call(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        leg = up(gateway, phone)
        gateway.command(f"leg {leg} hold on")
        invite = phone.expect("INVITE")
        phone.bye()
        gateway.wait("LegClosed")
        assert gateway.wait("leg_error", leg=leg)["code"] == 481
        phone.respond(invite, 487)
        gateway.command(f"leg {leg} hold on")
        assert gateway.wait("leg_error", leg=leg)["code"] == 481
