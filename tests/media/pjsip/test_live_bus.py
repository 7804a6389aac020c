"""The frame bus under real calls: RTP in and out on loopback, the gateway a process of its own."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from callers.g711 import ulaw_decode
from callers.sipp import free_port
from tests.live.sip.phone import Packet, Phone
from tests.media.pjsip.sounds import FIRST_PITCH, PITCH_STEP, codes, recitation

framebus = pytest.importorskip("framebus", reason="python -m media.pjsip.build --install makes it")
pytestmark = pytest.mark.live

ROOT = Path(__file__).resolve().parents[3]
HOLD = "inactive"


class Bus:
    """The gateway process."""

    def __init__(self, mode: str) -> None:
        command = [sys.executable, "-m", "tests.media.pjsip.bus_gateway", mode, str(free_port())]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ready = self.report("ready")

    def report(self, name: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{") and (report := json.loads(line))["report"] == name:
                return dict(report)
        raise AssertionError(f"the gateway ended with {self.process.wait()} before it said {name}")

    def ask(self, command: str, name: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.report(name)

    def quit(self) -> dict[str, Any]:
        end = self.ask("quit", "end")
        assert self.process.wait(10) == 0
        return end

    def phone(self) -> Phone:
        return Phone(("127.0.0.1", self.ready["port"]))


@pytest.fixture
def start() -> Iterator[Callable[[str], Bus]]:
    running: list[Bus] = []

    def begin(mode: str) -> Bus:
        running.append(Bus(mode))
        return running[-1]

    yield begin
    for bus in running:
        if bus.process.poll() is None:
            bus.process.kill()
        bus.process.wait()
        for pipe in (bus.process.stdin, bus.process.stdout):
            assert pipe is not None
            pipe.close()


@contextmanager
def call(phone: Phone, **offer: str) -> Iterator[Phone]:
    """A call from its answer to its end."""
    with phone:
        phone.call(sdp=phone.sdp(**offer))
        yield phone
        phone.bye()


def talk(phone: Phone, audio: bytes, payload_type: int = 0) -> list[float]:
    """Sends packets in real time; returns when each left."""
    sent = []
    start = time.monotonic()
    for i in range(0, len(audio), 160):
        phone.rtp.listen(start + i / 8000 - time.monotonic())
        sent.append(time.monotonic())
        phone.rtp.send(audio[i : i + 160], payload_type=payload_type)
    phone.rtp.listen(0.1)
    return sent


def said(packets: list[Packet]) -> bytes:
    """What the gateway sent, without the silence before it."""
    return b"".join(packet.payload for packet in packets).lstrip(b"\xff")


def test_frames_return_whole_in_order_and_stamped_on_the_wire(start: Callable[[str], Bus]) -> None:
    bus = start("echo")
    audio = codes(1, 100)
    with call(bus.phone()) as phone:
        sent = talk(phone, audio)
        back = said(phone.rtp.received)
        gaps = np.diff([packet.at for packet in phone.rtp.received]) * 1000
        clock = np.diff([packet.timestamp for packet in phone.rtp.received])
    end = bus.quit()

    # Frames may wait or be concealed on a busy machine; none may be cut, mixed or overtaken.
    places = [back.find(audio[i : i + 160]) for i in range(0, len(audio), 160)]
    found = [place for place in places if place >= 0]
    assert len(found) >= 95
    assert found == sorted(found)
    assert (clock == 160).all()
    assert np.percentile(gaps, 99) < 30

    pcm = ulaw_decode(np.frombuffer(audio, np.uint8)).tobytes()
    waits = []
    for frame in end["frames"]:
        place = pcm.find(np.array(frame["middle"], np.int16).tobytes())
        if place >= 0 and not frame["flags"]:
            waits.append(frame["arrived_ns"] / 1e6 - sent[place // 320] * 1000)
    assert len(waits) >= 95
    assert min(waits) > -0.1
    assert np.median(waits) < 2.0

    # Heard at the next beat, not at the next packet's time.
    heard = [(f["seen_ns"] - f["arrived_ns"]) / 1e6 for f in end["frames"] if not f["flags"]]
    assert np.median(heard) < 1.6 * framebus.BEAT_MS

    assert end["totals"]["rx_packets"] == 100
    assert not any(
        end["totals"][trouble] for trouble in ("rx_garbage", "rx_wrong_pt", "rx_ssrc_changes", "dropped")
    )
    pts = [frame["pts"] for frame in end["frames"]]
    assert pts == list(range(0, 160 * len(pts), 160))


def test_clear_says_what_the_caller_heard(start: Callable[[str], Bus]) -> None:
    bus = start("recite")
    with call(bus.phone()) as phone:
        talk(phone, codes(2, 50))
        reply, samples = bus.ask("clear", "cleared")["heard"]
        phone.rtp.listen(0.3)
        text = said(phone.rtp.received).rstrip(b"\xff")
    assert reply == 1
    assert samples % 160 == 0
    assert text == recitation()[:samples].rstrip(b"\xff")
    kinds = [event[1] for event in bus.quit()["events"]]
    # The leg may come off its stream a tick after the node stopped listening.
    assert kinds[:2] == [framebus.ATTACHED, framebus.STARTED]


def test_a_held_call_goes_on_where_it_stopped(start: Callable[[str], Bus]) -> None:
    bus = start("recite")
    with call(bus.phone()) as phone:
        talk(phone, codes(3, 25))
        phone.reinvite(HOLD)
        phone.rtp.listen(0.2)
        held = len(phone.rtp.received)
        at_hold = bus.ask("state", "state")["position"]
        phone.rtp.listen(0.4)
        assert len(phone.rtp.received) == held
        assert bus.ask("state", "state")["position"] == at_hold
        phone.reinvite("sendrecv")
        talk(phone, codes(4, 25))
        text = said(phone.rtp.received)
    assert len(text) > 160 * 40
    whole = recitation()
    joined = len(text) if whole.startswith(text) else next(i for i in range(len(text)) if text[i] != whole[i])
    # The new stream is silent for its first beat; but not one sample of the reply is lost.
    rest = text[joined:].lstrip(b"\xff")
    assert text[:joined] + rest == whole[: joined + len(rest)]
    kinds = [event[1] for event in bus.quit()["events"]]
    assert kinds.count(framebus.ATTACHED) == 3
    assert kinds.count(framebus.STARTED) == 1


def test_what_is_not_the_callers_audio_is_counted(start: Callable[[str], Bus]) -> None:
    bus = start("echo")
    with call(bus.phone()) as phone:
        talk(phone, codes(5, 10))
        for _ in range(3):
            phone.rtp.raw(b"\r\n\r\n")
            phone.rtp.raw(b"\x00" * 40)
        talk(phone, codes(6, 4), payload_type=18)
        talk(phone, codes(7, 2), payload_type=13)
        phone.rtp.ssrc ^= 1
        talk(phone, codes(8, 10))
        stats = bus.ask("state", "state")["stats"]
    assert stats["rx_garbage"] == 6
    assert stats["rx_wrong_pt"] == 4
    assert stats["rx_comfort_noise"] == 2
    assert stats["rx_ssrc_changes"] == 1
    assert stats["rx_packets"] == 26
    bus.quit()


@pytest.mark.parametrize(
    ("offer", "rate", "payload_type"),
    [
        ({"payloads": "9"}, 16000, 9),
        ({"payloads": "96", "extra": "a=rtpmap:96 opus/48000/2\r\n"}, 16000, 96),
        ({"payloads": "8"}, 8000, 8),
        ({"payloads": "0", "extra": "a=ptime:30\r\n"}, 8000, 0),
    ],
    ids=["G.722", "Opus", "A-law", "30 ms"],
)
def test_each_codec_has_its_own_rate_and_20_ms_frames(
    start: Callable[[str], Bus], offer: dict[str, str], rate: int, payload_type: int
) -> None:
    bus = start("recite")
    with call(bus.phone(), **offer) as phone:
        phone.rtp.listen(1.0)
        packets = list(phone.rtp.received)
    end = bus.quit()
    attached = [event for event in end["events"] if event[1] == framebus.ATTACHED]
    assert [event[3] for event in attached] == [rate]
    assert {frame["samples"] for frame in end["frames"]} == {rate // 50}
    assert {packet.payload_type for packet in packets} == {payload_type}
    assert 44 <= len(end["frames"]) <= 60
    assert all(frame["flags"] == framebus.DTX for frame in end["frames"])


def test_the_event_loop_wakes_when_told(start: Callable[[str], Bus]) -> None:
    bus = start("echo")
    waits = [bus.ask("wake", "woke")["after_ms"] for _ in range(20)]
    assert np.median(waits) < 20
    bus.quit()


def test_a_key_reaches_the_sleeping_event_loop_at_once(start: Callable[[str], Bus]) -> None:
    bus = start("echo")
    with call(bus.phone(), payloads="0 101") as phone:
        talk(phone, codes(9, 10))
        pressed = time.monotonic()
        phone.rtp.key(5)
        key = bus.report("key")
    assert key["digit"] == "5"
    assert key["at"] - pressed < 0.3
    bus.quit()


@pytest.mark.parametrize(("codec", "rate"), [("pcma", 8000), ("g722", 16000), ("opus", 16000)])
def test_two_legs_hear_each_other_over_srtp(start: Callable[[str], Bus], codec: str, rate: int) -> None:
    bus = start("tone")
    bus.ask(f"dial {codec}", "dialled")
    time.sleep(1.5)
    found = bus.ask("pitches", "pitches")
    assert found["rates"] == [rate, rate]
    assert sorted(found["pitches"]) == pytest.approx([FIRST_PITCH, FIRST_PITCH + PITCH_STEP], abs=5)
    bus.quit()


def test_an_offer_full_of_crypto_lines_does_no_harm(start: Callable[[str], Bus]) -> None:
    """CVE-2026-57162, which build.py patches: upstream's array holds 64."""
    bus = start("echo")
    key = base64.b64encode(bytes(30)).decode()
    lines = "".join(f"a=crypto:{tag} SOME_UNKNOWN_SUITE inline:{key}\r\n" for tag in range(1, 121))
    with bus.phone() as phone:
        phone.invite(sdp=phone.sdp(extra=lines))
        phone.expect(200)
        phone.ack()
        phone.bye()
    assert bus.quit()["totals"]["open"] == 0


def test_calls_that_come_and_go_leave_nothing_behind(start: Callable[[str], Bus]) -> None:
    bus = start("echo")
    for turn in range(4):
        phones = [bus.phone() for _ in range(12)]
        for phone in phones:
            phone.call()
        for _ in range(5):
            for phone in phones:
                phone.rtp.send(codes(turn, 1))
            time.sleep(0.02)
        for phone in phones:
            phone.bye()
            phone.close()
    time.sleep(0.3)
    end = bus.quit()
    assert end["totals"]["open"] == 0
    assert len(end["closed"]) == 48
    assert all(stats["rx_packets"] == 5 for stats in end["closed"])
    kinds = [event[1] for event in end["events"]]
    assert kinds.count(framebus.ATTACHED) == kinds.count(framebus.DETACHED) == 48
