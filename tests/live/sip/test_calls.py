"""Whole calls over real sockets: set-up, audio both ways, every way to end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.sip.phone import Phone, heard, loudness, pitch, tone
from tests.live.sip.process import GatewayProcess

pytestmark = pytest.mark.live

_LATE = 4
"""Packets that a busy test machine may send late; a stall of half a second would cost 25."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with GatewayProcess() as process:
        yield process


def test_a_call_is_answered_and_hears_its_own_voice(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.call()
        came = phone.rtp.talk(tone(440, 1.5))
        back = heard(came)[-4000:]
        assert pitch(back) == pytest.approx(440, abs=5)
        assert loudness(back) == pytest.approx(loudness(tone(440, 0.5)), rel=0.2)
        assert 65 <= len(came) <= 80
        phone.bye()
    answered = gateway.wait("LegAnswered")
    assert (answered["codec"], answered["sample_rate"], answered["rate"]) == ("PCMU", 8000, 8000)
    assert gateway.wait("PlayoutStarted", leg=answered["leg"])["reply"] == 1
    closed = gateway.wait("LegClosed", leg=answered["leg"])
    assert closed["reason"] == "caller_hung_up"
    assert closed["stats"]["rx_packets"] == 75 and closed["stats"]["codec"] == "PCMU"
    assert closed["frames"] >= 65 and closed["lost"] <= _LATE


def test_who_calls_whom_is_told(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip, "+4930-1234") as phone:
        phone.call()
        phone.bye()
        call = gateway.wait("incoming", called="+4930-1234")
        assert call["caller"] == "1001" and call["trunk"] == "local"
        assert call["remote"] == f"127.0.0.1:{phone.wire.port}"
        gateway.wait("LegClosed", leg=call["leg"])


def test_ringing_comes_before_the_answer(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.invite()
        phone.expect(100)
        phone.expect(180)
        phone.expect(200)
        phone.ack()
        phone.bye()
    gateway.wait("LegClosed")


def test_early_media_flows_both_ways_before_the_answer(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip, "early") as phone:
        phone.invite()
        phone.expect(183)
        assert pitch(heard(phone.rtp.talk(tone(440, 1.0)))[-2000:]) == pytest.approx(440, abs=5)
        phone.cancel()
        phone.expect(200)
        phone.refused(487)
    assert gateway.wait("LegClosed")["reason"] == "cancelled"


def test_cancel_ends_a_ringing_call(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip, "ring") as phone:
        phone.invite()
        phone.expect(180)
        phone.cancel()
        phone.refused(487)
    closed = gateway.wait("LegClosed")
    assert (closed["reason"], closed["sip_code"]) == ("cancelled", 487)


def test_our_hang_up_sends_bye_with_a_reason(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip, "hangup") as phone:
        phone.call()
        bye = phone.expect("BYE")
        phone.respond(bye)
        assert bye["reason"] == 'Q.850;cause=16;text="agent_hung_up"'
    closed = gateway.wait("LegClosed")
    assert closed["reason"] == "agent_hung_up"
    assert closed["stats"]["tx_packets"] > 0


def test_the_far_ends_reason_is_kept(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.call()
        phone.bye([("Reason", 'SIP;cause=200;text="all said"')])
    assert gateway.wait("LegClosed")["detail"] == 'SIP;cause=200;text="all said"'


@pytest.mark.parametrize("code", [403, 404, 480, 486, 603])
def test_a_refusal_carries_its_code_and_headers(gateway: GatewayProcess, code: int) -> None:
    with Phone(gateway.sip, f"reject-{code}") as phone:
        phone.invite()
        answer = phone.refused(code)
        assert answer["retry-after"] == "7"
        assert answer["warning"] == '399 offhook "as the test asked"'
    closed = gateway.wait("LegClosed")
    assert (closed["reason"], closed["sip_code"]) == ("rejected", code)


def test_a_broken_handler_answers_500(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip, "broken") as phone:
        phone.invite()
        phone.refused(500)


def test_a_played_tone_is_heard_whole_and_reported(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip, "tone") as phone:
        phone.call()
        phone.rtp.listen(1.0)
        back = heard(phone.rtp.received)
        assert loudness(back[:4000]) > 4000 and pitch(back[400:3600]) == pytest.approx(440, abs=5)
        phone.bye()
    mark = gateway.wait("PlayoutMark")
    assert (mark["reply"], mark["mark"]) == (1, 42)
    assert gateway.wait("PlayoutDrained", leg=mark["leg"])["samples"] == 4000
    gateway.wait("LegClosed", leg=mark["leg"])


def test_a_stall_of_the_loop_makes_no_gap_and_loses_no_audio(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.call()
        phone.rtp.talk(tone(440, 0.4))
        gateway.command("stall 0.5")
        came = phone.rtp.talk(tone(440, 1.0))
        gaps = [b.at - a.at for a, b in zip(came, came[1:], strict=False)]
        assert max(gaps) < 0.25, f"the longest gap was {max(gaps) * 1000:.0f} ms"
        assert sum(gap > 0.040 for gap in gaps) <= _LATE
        phone.bye()
    gateway.wait("stalled")
    closed = gateway.wait("LegClosed")
    assert closed["stats"]["rx_packets"] == 70 and closed["stats"]["dropped"] == 0
    assert closed["frames"] >= 64 and closed["lost"] <= _LATE


def test_an_offer_without_a_common_codec_gets_488(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.invite(sdp=phone.sdp(payloads="18 4"))
        phone.refused(488)
    assert sum(n for name, n in gateway.stats()["refusals"].items() if "488" in name or "codec" in name) >= 1


def test_a_late_offer_is_answered_with_ours(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.invite(sdp="")
        answer = phone.expect(200)
        assert "PCMU/8000" in answer.body and answer.body.count("m=") == 1
        phone.ack(body=phone.sdp(payloads="0"))
        assert pitch(heard(phone.rtp.talk(tone(440, 1.0)))[-2000:]) == pytest.approx(440, abs=5)
        phone.bye()
    assert gateway.wait("LegClosed")["reason"] == "caller_hung_up"


def test_a_late_offer_that_the_ack_does_not_answer_ends_the_call(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip, "silent") as phone:
        phone.invite(sdp="")
        phone.expect(200)
        phone.ack()
        phone.respond(phone.expect("BYE"))
    assert gateway.wait("LegClosed")["reason"] == "media_lost"


def test_options_is_answered_with_what_we_can_do(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.request("OPTIONS")
        answer = phone.expect(200)
        assert {"INVITE", "ACK", "BYE", "CANCEL"} <= set(answer["allow"].replace(" ", "").split(","))
        assert "application/sdp" in answer["accept"]


def test_a_wide_codec_brings_wide_frames(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        answer = phone.call(sdp=phone.sdp(payloads="9", extra="a=rtpmap:9 G722/8000\r\n"))
        assert "m=audio" in answer.body and " 9" in answer.body
        for _ in range(20):
            phone.rtp.send(bytes(160), payload_type=9)
            phone.rtp.listen(0.02)
        assert len([p for p in phone.rtp.received if p.payload_type == 9]) >= 15
        phone.bye()
    answered = gateway.wait("LegAnswered", codec="G722")
    assert answered["sample_rate"] == 16000
    gateway.wait("LegClosed", leg=answered["leg"])
