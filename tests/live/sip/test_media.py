"""Odd but legal media, and media that is neither: hold, keys, other packet times, jumps and garbage."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator

import pytest

from tests.live.sip.phone import Phone, Rtp, heard, loudness, pitch, tone
from tests.live.sip.process import GatewayProcess

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with GatewayProcess() as process:
        yield process


def echoes(phone: Phone, seconds: float = 0.8) -> bool:
    """Whether a tone comes back clean."""
    back = heard(phone.rtp.talk(tone(440, seconds)))[-2000:]
    return abs(pitch(back) - 440) < 6 and loudness(back) > 3000


def end(gateway: GatewayProcess, phone: Phone) -> dict[str, object]:
    phone.bye()
    return gateway.wait("LegClosed")


@pytest.mark.parametrize(("direction", "answer"), [("sendonly", "recvonly"), ("inactive", "inactive")])
def test_hold_is_answered_and_told_and_taken_back(
    gateway: GatewayProcess, direction: str, answer: str
) -> None:
    with Phone(gateway.sip) as phone:
        phone.call()
        assert echoes(phone)
        assert f"a={answer}" in phone.reinvite(direction).body
        gateway.wait("LegHeld")
        phone.rtp.listen(0.1)
        before = len(phone.rtp.received)
        phone.rtp.listen(0.3)
        assert len(phone.rtp.received) - before <= 1
        assert "a=sendrecv" in phone.reinvite("sendrecv").body
        gateway.wait("LegResumed")
        assert echoes(phone)
        end(gateway, phone)


def test_the_old_style_hold_with_a_zero_address_counts_too(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.call()
        phone.invite(sdp=phone.sdp().replace("c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0"))
        phone.expect(200)
        phone.ack()
        gateway.wait("LegHeld")
        end(gateway, phone)


def test_a_reinvite_may_move_the_audio_elsewhere(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.call()
        assert echoes(phone)
        old, phone.rtp = phone.rtp, Rtp(phone.rtp.target)
        phone.reinvite("sendrecv")
        assert echoes(phone)
        old.listen(0.0)
        late = len(old.received)
        old.listen(0.3)
        assert len(old.received) == late
        old.close()
        end(gateway, phone)


def test_a_reinvite_without_a_common_codec_is_refused_and_the_call_goes_on(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.call()
        before = gateway.stats()["refusals"].get("no_common_codec", 0)
        phone.invite(sdp=phone.sdp(payloads="18"))
        phone.refused(488)
        assert gateway.stats()["refusals"]["no_common_codec"] == before + 1
        assert echoes(phone)
        phone.request("UPDATE", body=phone.sdp(payloads="18"))
        phone.expect(488)
        assert echoes(phone)
        end(gateway, phone)


def test_a_reinvite_may_change_the_codec(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.call()
        assert echoes(phone)
        phone.invite(sdp=phone.sdp(payloads="8 101"))
        assert "RTP/AVP 8 101" in phone.expect(200).body
        phone.ack()
        gateway.drain(0.1)
        phone.rtp.listen(0.4)
        assert {packet.payload_type for packet in phone.rtp.received[-5:]} == {8}
        end(gateway, phone)


def test_a_reinvite_without_an_offer_gets_ours(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.call()
        phone.invite(sdp="")
        assert "m=audio" in phone.expect(200).body
        phone.ack(body=phone.sdp())
        assert echoes(phone)
        end(gateway, phone)


def test_lines_that_are_off_or_not_served_do_not_hide_the_audio(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        offer = phone.sdp().replace("m=audio", "m=audio 0 RTP/AVP 18\r\nm=audio", 1)
        answer = phone.call(sdp=offer + "m=text 5006 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\n")
        off, port, text = (int(found) for found in re.findall(r"^m=\S+ (\d+)", answer.body, re.MULTILINE))
        assert (off, text) == (0, 0)
        phone.rtp.target = ("127.0.0.1", port)
        assert echoes(phone)
        closed = end(gateway, phone)
    assert isinstance(closed["stats"], dict) and closed["stats"]["rx_packets"] > 30


def test_keys_by_rtp_events_come_once_each_and_in_order(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip, "silent") as phone:
        phone.call()
        phone.rtp.talk(tone(440, 0.2))
        for code in (1, 2, 10, 11, 2):
            phone.rtp.key(code)
            phone.rtp.talk(tone(440, 0.1))
        keys = [gateway.wait("DtmfReceived")["digit"] for _ in range(5)]
        assert keys == ["1", "2", "*", "#", "2"]
        assert "DtmfReceived" not in {report["event"] for report in gateway.drain(0.2)}
        end(gateway, phone)


@pytest.mark.parametrize(
    ("kind", "body", "digit"),
    [
        ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", "5"),
        ("application/dtmf-relay", "Signal=#\r\nDuration=100\r\n", "#"),
        ("application/dtmf", "7", "7"),
    ],
)
def test_keys_by_info(gateway: GatewayProcess, kind: str, body: str, digit: str) -> None:
    with Phone(gateway.sip, "silent") as phone:
        phone.call()
        phone.request("INFO", body=body, headers=[("Content-Type", kind)])
        phone.expect(200)
        assert gateway.wait("DtmfReceived")["digit"] == digit
        end(gateway, phone)


def test_we_send_keys_by_rtp_events_when_the_far_end_takes_them(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip, "keys-19#") as phone:
        phone.call()
        phone.rtp.listen(1.5)
        events = [packet for packet in phone.rtp.received if packet.payload_type == 101]
        keys = []
        for packet in events:
            if (packet.timestamp, packet.payload[0]) not in keys:
                keys.append((packet.timestamp, packet.payload[0]))
        assert [code for _, code in keys] == [1, 9, 11]
        end(gateway, phone)


def test_we_send_keys_by_info_when_it_does_not(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip, "keys-4") as phone:
        phone.call(sdp=phone.sdp(payloads="0").replace("a=rtpmap:101 telephone-event/8000\r\n", ""))
        info = phone.expect("INFO")
        phone.respond(info)
        assert info["content-type"] == "application/dtmf-relay" and "Signal=4" in info.body
        end(gateway, phone)


@pytest.mark.parametrize("ptime", [10, 30, 40, 60])
def test_other_packet_times_are_understood(gateway: GatewayProcess, ptime: int) -> None:
    with Phone(gateway.sip) as phone:
        phone.call(sdp=phone.sdp(extra=f"a=ptime:{ptime}\r\n"))
        came = phone.rtp.talk(tone(440, 1.2), ptime=ptime)
        back = heard(came)[-3000:]
        assert pitch(back) == pytest.approx(440, abs=6) and loudness(back) > 3000
        closed = end(gateway, phone)
        assert closed["frames"] in range(53, 63)


def test_a_new_ssrc_goes_on_where_the_old_one_ended(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.call()
        assert echoes(phone)
        phone.rtp.ssrc ^= 0x5A5A5A5A
        phone.rtp.seq = 12
        phone.rtp.timestamp = 99
        phone.rtp.talk(tone(440, 0.4))
        assert echoes(phone)
        end(gateway, phone)


@pytest.mark.parametrize("jump", [80_000, -80_000, 0x7FFFFFFF])
def test_a_jump_of_the_timestamp_is_survived(gateway: GatewayProcess, jump: int) -> None:
    with Phone(gateway.sip) as phone:
        phone.call()
        assert echoes(phone)
        phone.rtp.timestamp += jump
        phone.rtp.talk(tone(440, 0.6))
        assert echoes(phone)
        end(gateway, phone)


@pytest.mark.parametrize("jump", [5_000, 30_000])
def test_a_jump_of_the_sequence_is_survived(gateway: GatewayProcess, jump: int) -> None:
    with Phone(gateway.sip) as phone:
        phone.call()
        assert echoes(phone)
        phone.rtp.seq += jump
        phone.rtp.talk(tone(440, 0.6))
        assert echoes(phone)
        end(gateway, phone)


def test_silence_suppression_is_no_loss(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.call()
        assert echoes(phone)
        phone.rtp.send(b"\x40", payload_type=13)
        phone.rtp.listen(0.6)
        phone.rtp.timestamp += 4800
        assert echoes(phone)
        assert end(gateway, phone)["lost"] in range(0, 6)


def test_garbage_on_the_rtp_port_disturbs_nothing(gateway: GatewayProcess) -> None:
    noise = random.Random(7)
    with Phone(gateway.sip) as phone:
        phone.call()
        assert echoes(phone)
        for size in [*range(0, 40), 200, 1_400, 9_000, 60_000] * 3:
            phone.rtp.raw(noise.randbytes(size))
        for first in (0x80, 0x8F, 0xBF, 0x90, 0xA0):
            phone.rtp.raw(bytes([first, 0]) + noise.randbytes(10))
            phone.rtp.raw(bytes([first, 0]) + noise.randbytes(170))
        for payload_type in (0, 1, 8, 18, 72, 96, 101, 127):
            phone.rtp.raw(bytes([0x80, payload_type]) + noise.randbytes(2_000))
        phone.rtp.ssrc ^= 1
        phone.rtp.talk(tone(440, 0.8))
        assert echoes(phone)
        stats = end(gateway, phone)["stats"]
        assert isinstance(stats, dict) and stats["rx_garbage"] > 50


@pytest.mark.parametrize("packet", [os.urandom(40), bytes([0x80, 0]) + os.urandom(170)])
def test_a_stranger_can_neither_be_heard_nor_turn_the_audio_away(
    gateway: GatewayProcess, packet: bytes
) -> None:
    """Neither while the peer talks nor while it says nothing, however fast the stranger sends."""
    with Phone(gateway.sip) as phone:
        phone.call()
        assert echoes(phone)
        stranger = Rtp(phone.rtp.target)
        for _ in range(200):
            stranger.raw(packet)
        phone.rtp.listen(0.3)
        for _ in range(100):
            stranger.raw(packet)
            stranger.listen(0.002)
        assert echoes(phone)
        stranger.listen(0.0)
        assert stranger.received == []
        stranger.close()
        stats = end(gateway, phone)["stats"]
        assert isinstance(stats, dict) and stats["rx_foreign"] == 300 and stats["rx_ssrc_changes"] == 0


def test_audio_returns_to_where_it_came_from(gateway: GatewayProcess) -> None:
    """Symmetric RTP: the SDP names an address behind NAT, the packets come from another one."""
    with Phone(gateway.sip) as phone:
        lie = phone.sdp().replace(f"m=audio {phone.rtp.port}", "m=audio 9")
        phone.call(sdp=lie)
        assert echoes(phone, 1.5)
        end(gateway, phone)


def test_a_call_without_any_rtp_shows_it_in_its_stats(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip) as phone:
        phone.call()
        phone.rtp.listen(0.3)
        closed = end(gateway, phone)
    stats = closed["stats"]
    assert isinstance(stats, dict) and stats["rx_packets"] == 0 and stats["tx_packets"] > 5
