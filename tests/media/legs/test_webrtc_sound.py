"""Sound both ways over the codecs: what is said is heard, lost packets are mended, silence is not sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from media.frame import Pcm
from media.legs.base import LegEvent, PlayoutDrained, PlayoutStarted
from media.legs.webrtc_codecs import CODECS, Codec
from media.legs.webrtc_ear import Ear
from media.legs.webrtc_mouth import Mouth
from media.legs.webrtc_opus import OpusBroken, OpusDecoder, OpusEncoder
from media.legs.webrtc_playout import SharedPlayout
from media.legs.webrtc_rtp import RtpPacket, read_rtp
from media.legs.webrtc_settings import WebRtcSettings
from media.resample import resample
from media.wav import read_wav

SETTINGS = WebRtcSettings()
FRAME = 0.02
SPEECH = Path(__file__).resolve().parents[2] / "data" / "speech"


def tone(rate: int, seconds: float, hertz: float = 440.0) -> Pcm:
    phase = np.arange(round(rate * seconds)) * (2 * np.pi * hertz / rate)
    sound: Pcm = (8_000 * np.sin(phase)).astype(np.int16)
    return sound


def level(pcm: npt.NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64)))) if len(pcm) else 0.0


class Line:
    """A mouth, a wire that loses what it is told to, and an ear."""

    def __init__(self, codec: Codec) -> None:
        self.events: list[LegEvent] = []
        self.codec = codec
        self.playout = SharedPlayout(codec.sample_rate, self.events.append)
        self.mouth = Mouth(codec, 111, self.playout, SETTINGS)
        self.ear = Ear(codec, SETTINGS)
        self.sent: list[RtpPacket | None] = []
        self.heard: list[Pcm] = []
        self.at = 10.0

    def run(self, seconds: float, lose: frozenset[int] = frozenset()) -> None:
        for _ in range(round(seconds / FRAME)):
            data = self.mouth.packet(self.at)
            packet = read_rtp(data) if data is not None else None
            if packet is not None and len(self.sent) not in lose:
                self.ear.buffer.push(packet.sequence, packet.timestamp, packet.payload, self.at + 0.005)
            self.sent.append(packet)
            self.heard.append(self.ear.pull(self.at + 0.016).pcm)
            self.at += FRAME

    def sound(self) -> Pcm:
        return np.concatenate(self.heard)


@pytest.mark.parametrize("name", CODECS)
def test_what_is_said_is_heard(name: str) -> None:
    line = Line(CODECS[name])
    line.run(0.5)
    line.playout.write(tone(line.codec.sample_rate, 1.0), 1)
    line.playout.finish()
    line.run(2.0)
    heard = line.sound()
    rate = line.codec.sample_rate
    assert level(heard[round(0.7 * rate) : round(1.3 * rate)]) > 4_000
    assert level(heard[: round(0.4 * rate)]) < 50
    assert level(heard[round(1.8 * rate) :]) < 50
    assert [type(event) for event in line.events] == [PlayoutStarted, PlayoutDrained]
    assert line.ear.concealed == 0


def test_a_pause_is_hardly_sent_and_sound_after_it_at_once() -> None:
    line = Line(CODECS["opus"])
    line.run(2.0)
    quiet = sum(packet is not None for packet in line.sent[-50:])
    assert quiet <= 3
    assert line.mouth.idle
    line.playout.write(tone(16_000, 0.2), 1)
    assert line.mouth.waiting
    line.run(FRAME)
    packet = line.sent[-1]
    assert packet is not None
    assert packet.marker
    assert len(packet.payload) > 10
    line.run(0.1)
    assert not any(packet.marker for packet in line.sent[-5:] if packet is not None)


def test_a_steady_tone_is_no_pause() -> None:
    line = Line(CODECS["opus"])
    line.playout.write(tone(16_000, 4.0), 1)
    line.run(3.9)
    assert all(packet is not None and len(packet.payload) > 2 for packet in line.sent)
    assert min(level(frame) for frame in line.heard[50:190]) > 4_000


def test_g711_never_pauses() -> None:
    line = Line(CODECS["PCMU"])
    line.run(1.0)
    assert all(packet is not None and len(packet.payload) == 160 for packet in line.sent)


def test_timestamps_go_by_the_clock_and_numbers_by_packets() -> None:
    line = Line(CODECS["opus"])
    line.run(1.0)
    line.playout.write(tone(16_000, 0.5), 1)
    line.run(0.5)
    sent = [(i, packet) for i, packet in enumerate(line.sent) if packet is not None]
    first = sent[0]
    for i, packet in sent:
        assert (packet.timestamp - first[1].timestamp) % 2**32 == (i - first[0]) * 960
    numbers = [packet.sequence for _, packet in sent]
    assert [(b - a) % 65_536 for a, b in zip(numbers, numbers[1:], strict=False)] == [1] * (len(numbers) - 1)


def test_single_losses_are_mended_and_frames_keep_coming() -> None:
    line = Line(CODECS["opus"])
    line.mouth.expect_loss(25)
    line.playout.write(tone(16_000, 4.0, 300.0), 1)
    line.run(3.0, lose=frozenset(range(20, 150, 10)))
    assert all(len(frame) == 320 for frame in line.heard)
    assert 13 <= line.ear.concealed <= 15
    # Once the line has shown that it loses packets, the next one is waited for.
    assert line.ear.restored >= 10
    assert line.ear.broken == line.ear.buffer.counts.overflowed == 0


def test_nothing_at_all_is_silence() -> None:
    ear = Ear(CODECS["opus"], SETTINGS)
    frames = [ear.pull(1.0 + i * FRAME) for i in range(50)]
    assert all(frame.dtx and not frame.lost for frame in frames)
    assert level(np.concatenate([frame.pcm for frame in frames])) == 0


@pytest.mark.parametrize("name", CODECS)
def test_broken_packets_are_concealed(name: str) -> None:
    ear = Ear(CODECS[name], SETTINGS)
    for i in range(20):
        ear.buffer.push(i, i * CODECS[name].clock // 50, b"" if i % 2 else b"\xff" * 3, 1.0 + i * FRAME)
        assert len(ear.pull(1.015 + i * FRAME).pcm) == CODECS[name].sample_rate // 50


@pytest.mark.parametrize("milliseconds", [10, 40, 60])
def test_other_packet_lengths_are_cut_to_frames(milliseconds: int) -> None:
    codec = CODECS["PCMU"]
    ear = Ear(codec, SETTINGS)
    size = codec.clock * milliseconds // 1000
    codes = bytes(range(256)) * 2
    heard = []
    packets = [(1.0 + (i + 1) * milliseconds / 1000, i, i * size) for i in range(240 // (milliseconds // 5))]
    at = 1.1
    while at < 2.2:
        while packets and packets[0][0] <= at:
            arrived, number, stamp = packets.pop(0)
            ear.buffer.push(number, stamp, codes[:size], arrived)
        heard.append(ear.pull(at))
        at += FRAME
    assert all(len(frame.pcm) == 160 for frame in heard)
    assert sum(frame.lost or frame.dtx for frame in heard[10:30]) == 0


def test_redundancy_gives_a_lost_packet_back() -> None:
    encoder = OpusEncoder(16_000, 32_000, 5)
    encoder.expect_loss(25)
    said, rate = read_wav(SPEECH / "demo-thanks.wav")
    speech = resample(said[:, 0], rate, 16_000)
    packets = [encoder.encode(speech[i : i + 320]) for i in range(0, len(speech) - 319, 320)]
    mending = guessing = 0.0
    for lost in range(20, len(packets) - 1, 7):
        whole, mender, guesser = OpusDecoder(16_000), OpusDecoder(16_000), OpusDecoder(16_000)
        for packet in packets[:lost]:
            for decoder in (whole, mender, guesser):
                decoder.decode(packet)
        wanted = whole.decode(packets[lost]).astype(np.float64)
        mending += level(mender.restore(packets[lost + 1], 320) - wanted)
        guessing += level(guesser.conceal(320) - wanted)
    assert mending < 0.7 * guessing


def test_what_is_no_opus_is_refused() -> None:
    with pytest.raises(OpusBroken):
        OpusDecoder(16_000).decode(b"\xff" * 3)
    with pytest.raises(ValueError, match="no Opus frame"):
        OpusEncoder(16_000, 32_000, 5).encode(np.zeros(7, np.int16))
    with pytest.raises(ValueError, match="none of Opus"):
        OpusDecoder(44_100)


def test_a_shut_playout_takes_nothing_and_remembers() -> None:
    playout = SharedPlayout(16_000, lambda event: None)
    playout.write(tone(16_000, 1.0), 1)
    playout.pull(1.0)
    playout.shut()
    assert playout.position() == 320
    assert playout.write(tone(16_000, 1.0), 2) == 0
    assert playout.pull(1.02) is None
