"""Requests that come twice, timers that run, and far ends that vanish."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.sip.phone import Phone, heard, pitch, tone
from tests.live.sip.process import GatewayProcess

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with GatewayProcess() as process:
        yield process


@pytest.fixture(autouse=True)
def _nothing_left(gateway: GatewayProcess) -> None:
    """What earlier calls reported is not for this test."""
    gateway.drain(0.05)


def test_a_repeated_invite_is_one_call(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip, "ring") as phone:
        phone.invite()
        phone.expect(180)
        phone.invite_again()
        phone.expect(180)
        phone.cancel()
        phone.refused(487)
    gateway.wait("incoming")
    gateway.wait("LegClosed")
    assert "incoming" not in {report["event"] for report in gateway.drain(0.2)}


def test_an_invite_by_two_paths_is_one_call(gateway: GatewayProcess) -> None:
    """RFC 3261 section 8.2.2.2: 482, and the call that is there goes on."""
    with Phone(gateway.sip, "ring") as phone:
        phone.invite()
        phone.expect(180)
        phone.invite_again(branch="z9hG4bKanotherway")
        phone.expect(482)
        phone.cancel()
        phone.refused(487)
    gateway.wait("incoming")
    gateway.wait("LegClosed")
    assert gateway.stats()["refusals"]["merged"] == 1
    assert "incoming" not in {report["event"] for report in gateway.drain(0.2)}


def test_a_refused_offer_within_a_call_says_why(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.call()
        phone.invite(sdp=phone.sdp(payloads="18"))
        assert phone.refused(488)["warning"] == '305 offhook "Incompatible media format"'
        phone.bye()
    gateway.wait("LegClosed")


def test_the_far_end_refreshes_the_session(gateway: GatewayProcess) -> None:
    """RFC 4028: a refresh by UPDATE is answered with the interval, and the call goes on."""
    with Phone(gateway.sip) as phone:
        answer = phone.call(headers=[("Supported", "timer"), ("Session-Expires", "90;refresher=uac")])
        assert answer["session-expires"].startswith("90;refresher=uac")
        for _ in range(2):
            phone.request("UPDATE", headers=[("Supported", "timer"), ("Session-Expires", "90;refresher=uac")])
            assert phone.expect(200)["session-expires"].startswith("90")
        assert pitch(heard(phone.rtp.talk(tone(440, 0.6)))[-2000:]) == pytest.approx(440, abs=6)
        phone.bye()
    assert gateway.wait("LegClosed")["reason"] == "caller_hung_up"


def test_an_interval_that_is_too_short_is_refused_with_ours(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.invite(headers=[("Supported", "timer"), ("Session-Expires", "30")])
        assert int(phone.refused(422)["min-se"]) >= 90


def test_a_vanished_far_end_leaves_its_silence_in_the_stats(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.call()
        leg = gateway.wait("LegAnswered")["leg"]
        phone.rtp.talk(tone(440, 0.5))
        phone.rtp.listen(2.6)  # it says nothing more
        told = gateway.wait("AudioOneWay", leg=leg)
        assert told["seconds"] >= 2.0
        more = [report for report in gateway.drain(0.5) if report.get("leg") == leg]
        assert "AudioOneWay" not in {report["event"] for report in more}, "once per gap"
        phone.rtp.talk(tone(440, 0.5))
        phone.rtp.listen(2.6)
        gateway.wait("AudioOneWay", leg=leg)
        phone.bye()
    assert gateway.wait("LegClosed", leg=leg)["stats"]["one_way"] == 2


def test_audio_that_never_comes_is_told_with_both_addresses(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip, "silent") as phone:
        phone.call()
        leg = gateway.wait("LegAnswered")["leg"]
        phone.rtp.listen(2.6)
        told = gateway.wait("AudioOneWay", leg=leg)
        assert f"127.0.0.1:{phone.rtp.port}" in told["detail"]
        phone.bye()
    gateway.wait("LegClosed")


def test_a_far_end_that_holds_us_may_be_silent(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip, "silent") as phone:
        phone.call()
        leg = gateway.wait("LegAnswered")["leg"]
        phone.rtp.talk(tone(440, 0.3))
        phone.reinvite("inactive")
        gateway.wait("LegHeld")
        phone.rtp.listen(2.6)
        more = [report for report in gateway.drain(0.1) if report.get("leg") == leg]
        assert "AudioOneWay" not in {report["event"] for report in more}
        phone.bye()
    gateway.wait("LegClosed")
