"""Keys as peers really send them: events with packets missing, INFO, tones, and several of these at once."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import pytest

from media.frame import Pcm
from tests.live.sip.phone import Phone, tone
from tests.live.sip.process import GatewayProcess

pytestmark = pytest.mark.live

TONES = {"1": (697, 1209), "5": (770, 1336), "9": (852, 1477), "#": (941, 1477)}


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    hears = {"name": "local", "sources": ["127.0.0.0/8"], "outbound": True, "dtmf_inband": True}
    with GatewayProcess(trunks=[hears]) as process:
        yield process


@pytest.fixture
def phone(gateway: GatewayProcess) -> Iterator[Phone]:
    with Phone(gateway.sip, "silent") as phone:
        phone.call()
        gateway.wait("LegAnswered")
        phone.rtp.talk(tone(440, 0.2))
        yield phone
        phone.bye()
        gateway.wait("LegClosed")
        gateway.drain(0.05)


def keys(gateway: GatewayProcess, seconds: float = 0.4) -> str:
    return "".join(report["digit"] for report in gateway.drain(seconds) if report["event"] == "DtmfReceived")


def event(phone: Phone, code: int, *, packets: tuple[int, ...], ends: int = 3, marker: bool = True) -> None:
    """An event of which only these packets arrive, in this order, and so many ends."""
    for i, duration in enumerate(packets):
        body = struct.pack("!BBH", code, 0x0A, 160 * duration)
        phone.rtp.send(body, payload_type=101, step=0, marker=marker and i == 0)
        phone.rtp.listen(0.02)
    for _ in range(ends):
        body = struct.pack("!BBH", code, 0x8A, 160 * (max(packets, default=0) + 1))
        phone.rtp.send(body, payload_type=101, step=0)
    phone.rtp.timestamp += 160 * 12
    phone.rtp.listen(0.1)


def dual(digit: str, seconds: float = 0.12) -> Pcm:
    low, high = TONES[digit]
    return tone(low, seconds, 6000) + tone(high, seconds, 6000)


def test_lost_ends_and_the_same_key_again(gateway: GatewayProcess, phone: Phone) -> None:
    for _ in range(3):
        event(phone, 5, packets=(1, 2, 3, 4), ends=0)
    assert keys(gateway) == "555"


def test_only_late_packets_and_the_same_key_again(gateway: GatewayProcess, phone: Phone) -> None:
    """The first packets are lost, so each press begins with a duration above the last one's."""
    event(phone, 5, packets=(1, 2), ends=0)
    event(phone, 5, packets=(4, 5), ends=0)
    event(phone, 5, packets=(7,), ends=0)
    assert keys(gateway) == "555"


def test_no_marker_anywhere(gateway: GatewayProcess, phone: Phone) -> None:
    for code in (1, 1, 11):
        event(phone, code, packets=(1, 2, 3), marker=False)
    assert keys(gateway) == "11#"


def test_packets_out_of_order_are_no_second_press(gateway: GatewayProcess, phone: Phone) -> None:
    event(phone, 9, packets=(1, 3, 2, 4, 3))
    assert keys(gateway) == "9"


def test_tones_alone(gateway: GatewayProcess, phone: Phone) -> None:
    for digit in "159":
        phone.rtp.talk(dual(digit))
        phone.rtp.talk(np.zeros(1600, np.int16))
    heard = [r for r in gateway.drain(0.4) if r["event"] == "DtmfReceived"]
    assert "".join(report["digit"] for report in heard) == "159" and all(report["inband"] for report in heard)


def test_a_peer_that_sends_everything_at_once(gateway: GatewayProcess, phone: Phone) -> None:
    for digit, code in (("1", 1), ("1", 1), ("5", 5), ("#", 11)):
        phone.rtp.talk(dual(digit))
        event(phone, code, packets=(1, 2, 3), ends=1)
        body = f"Signal={digit}\r\nDuration=200\r\n"
        phone.request("INFO", body=body, headers=[("Content-Type", "application/dtmf-relay")])
        phone.expect(200)
        phone.rtp.talk(np.zeros(1600, np.int16))
    assert keys(gateway) == "115#"


def test_tones_are_not_listened_for_where_the_trunk_has_none() -> None:
    with GatewayProcess() as plain, Phone(plain.sip, "silent") as phone:
        phone.call()
        for digit in "15":
            phone.rtp.talk(dual(digit))
            phone.rtp.talk(np.zeros(1600, np.int16))
        assert keys(plain) == ""
        phone.bye()
