"""Two far ends connected: each hears the other, whatever their codecs."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from media.frame import Pcm
from tests.live.sip.phone import Phone, heard, loudness, pitch, tone
from tests.live.sip.process import GatewayProcess

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with GatewayProcess() as process:
        yield process


def up(gateway: GatewayProcess, phone: Phone, *, sdp: str | None = None) -> str:
    phone.call(sdp=sdp)
    return str(gateway.wait("LegAnswered")["leg"])


def both_talk(one: Phone, other: Phone, said: Pcm, answered: Pcm) -> tuple[Pcm, Pcm]:
    """Both speak at once; what each heard."""
    came: list[Pcm] = []
    talking = threading.Thread(target=lambda: came.append(heard(other.rtp.talk(answered))))
    talking.start()
    first = heard(one.rtp.talk(said))
    talking.join()
    return first, came[0]


def test_two_callers_hear_each_other_and_not_themselves(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip, "silent") as one, Phone(gateway.sip, "silent") as other:
        leg, there = up(gateway, one), up(gateway, other)
        gateway.command(f"leg {leg} bridge {there}")
        gateway.wait("bridge_begins")
        first, second = both_talk(one, other, tone(440, 1.5), tone(700, 1.5))
        assert pitch(first[-4000:]) == pytest.approx(700, abs=5)
        assert pitch(second[-4000:]) == pytest.approx(440, abs=5)
        for came in (first, second):
            assert loudness(came[-4000:]) == pytest.approx(loudness(tone(440, 0.5)), rel=0.2)
        gateway.command(f"leg {leg} unbridge")
        over = gateway.wait("bridge_over")
        assert over["native"] and over["closed"] == [False, False]
        assert min(over["frames"][leg], over["frames"][there]) > 60, "frames still reach whoever listens"
        first, _ = both_talk(one, other, tone(440, 0.5), tone(700, 0.5))
        assert loudness(first[-2000:]) < 50
        one.bye()
        other.bye()
    gateway.wait("LegClosed")
    gateway.wait("LegClosed")


def test_a_narrow_and_a_wide_codec_meet(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip, "silent") as wide, Phone(gateway.sip, "silent") as narrow:
        offer = wide.sdp(payloads="9 101", extra="a=rtpmap:9 G722/8000\r\n")
        there = up(gateway, wide, sdp=offer)
        leg = up(gateway, narrow)
        gateway.command(f"leg {leg} bridge {there}")
        gateway.wait("bridge_begins")
        narrow.rtp.talk(tone(440, 0.2))
        stop = threading.Event()

        def listen() -> None:
            while not stop.is_set():
                wide.rtp.send(bytes(160), payload_type=9)
                wide.rtp.listen(0.02)

        listening = threading.Thread(target=listen)
        listening.start()
        came = narrow.rtp.talk(tone(440, 1.0))
        stop.set()
        listening.join()
        assert len([packet for packet in wide.rtp.received if packet.payload_type == 9]) > 30
        assert len({packet.payload for packet in wide.rtp.received[-20:]}) > 5, "G.722 carries the tone"
        assert len(came) > 30
        narrow.bye()
        assert gateway.wait("bridge_over")["closed"] == [True, False]
        wide.bye()
    gateway.wait("LegClosed")


def test_a_key_goes_through_the_bridge_and_is_told(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip, "silent") as one, Phone(gateway.sip, "silent") as other:
        leg, there = up(gateway, one), up(gateway, other)
        gateway.command(f"leg {leg} bridge {there}")
        gateway.wait("bridge_begins")
        one.rtp.talk(tone(440, 0.2))
        one.rtp.key(5)
        other.rtp.listen(1.0)
        assert gateway.wait("DtmfReceived", bridged=True)["digit"] == "5"
        keys = {packet.payload[0] for packet in other.rtp.received if packet.payload_type == 101}
        assert keys == {5}
        other.bye()
        assert gateway.wait("bridge_over")["closed"] == [False, True]
        one.bye()
    gateway.wait("LegClosed")


def test_who_holds_is_not_heard_and_does_not_hear(gateway: GatewayProcess) -> None:
    with Phone(gateway.sip, "silent") as one, Phone(gateway.sip, "silent") as other:
        leg, there = up(gateway, one), up(gateway, other)
        gateway.command(f"leg {leg} bridge {there}")
        gateway.wait("bridge_begins")
        one.reinvite("sendonly")
        gateway.wait("LegHeld", bridged=True)
        before = len(one.rtp.received)
        one.rtp.listen(0.1)
        before = len(one.rtp.received)
        both_talk(one, other, tone(440, 0.5), tone(700, 0.5))
        assert len(one.rtp.received) - before <= 1
        one.reinvite("sendrecv")
        gateway.wait("LegResumed", bridged=True)
        first, second = both_talk(one, other, tone(440, 1.0), tone(700, 1.0))
        assert pitch(first[-3000:]) == pytest.approx(700, abs=6)
        assert pitch(second[-3000:]) == pytest.approx(440, abs=6)
        gateway.command(f"leg {leg} unbridge")
        gateway.wait("bridge_over")
        one.bye()
        other.bye()
    gateway.wait("LegClosed")
    gateway.wait("LegClosed")


def test_speech_keeps_its_shape(gateway: GatewayProcess) -> None:
    """Not only its pitch: what comes out is what went in, shifted by less than 100 ms."""
    noise = np.random.default_rng(5)
    said = np.repeat(noise.integers(-8000, 8000, 1500), 8).astype(np.int16)  # steps: easy to align
    with Phone(gateway.sip, "silent") as one, Phone(gateway.sip, "silent") as other:
        leg, there = up(gateway, one), up(gateway, other)
        gateway.command(f"leg {leg} bridge {there}")
        gateway.wait("bridge_begins")
        _, second = both_talk(one, other, said, tone(700, len(said) / 8000))
        piece = second[4000:8000].astype(np.float64)
        lags = np.correlate(said.astype(np.float64), piece, "valid")
        at = int(np.argmax(lags))
        same = np.corrcoef(said[at : at + 4000], piece)[0, 1]
        assert same > 0.98
        gateway.command(f"leg {leg} unbridge")
        gateway.wait("bridge_over")
        one.bye()
        other.bye()
    gateway.wait("LegClosed")
    gateway.wait("LegClosed")
