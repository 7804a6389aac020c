"""The receive buffer in bad weather: all in order and in time, no more delay than the weather asks for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from media.legs.webrtc_buffer import Lost, Quiet, ReceiveBuffer, Sound

CLOCK = 48_000
UNIT = CLOCK // 50
FRAME = 0.02


@dataclass
class Played:
    """What a clock of 20 ms got out of a buffer, and how it ended."""

    buffer: ReceiveBuffer
    sounds: list[bytes] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    """Seconds that each packet waited."""
    lost: int = 0
    quiet: int = 0
    restorable: list[bytes] = field(default_factory=list)


def play(
    arrivals: Sequence[tuple[float, int, int]], *, until: float, hasten: bool = True, phase: float = 0.003
) -> Played:
    """Packets as (arrival, sequence, timestamp), the payload is the sequence number; hastens as an ear."""
    buffer = ReceiveBuffer(CLOCK)
    out = Played(buffer)
    waiting = sorted(arrivals)
    at, begun = phase, False
    while at < until:
        while waiting and waiting[0][0] <= at:
            arrived, sequence, timestamp = waiting.pop(0)
            buffer.push(sequence & 0xFFFF, timestamp & 0xFFFFFFFF, str(sequence).encode(), arrived)
        begun = begun or buffer.ready(at)
        if begun:
            pull(out, at)
            if hasten and buffer.excess_ms > 21:
                pull(out, at)
        at += FRAME if begun else FRAME / 4
    return out


def pull(out: Played, at: float) -> None:
    match out.buffer.pull(at):
        case Sound(payload, arrived):
            out.sounds.append(payload)
            out.delays.append(at - arrived)
            out.buffer.played(UNIT)
        case Lost(following):
            out.lost += 1
            if following is not None:
                out.restorable.append(following)
        case Quiet():
            out.quiet += 1


def steady(count: int, jitter: Sequence[float] = (0.0,), first: int = 100) -> list[tuple[float, int, int]]:
    """A stream with these delays, in turn."""
    return [(0.05 + i * FRAME + jitter[i % len(jitter)], first + i, 1_000 + i * UNIT) for i in range(count)]


def numbers(count: int, first: int = 100) -> list[bytes]:
    return [str(first + i).encode() for i in range(count)]


def test_a_steady_stream_waits_no_longer_than_20_ms() -> None:
    out = play(steady(500), until=10.5)
    assert out.sounds == numbers(500)
    assert out.lost == 0
    assert max(out.delays) <= 0.020


def test_a_lost_packet_is_told_with_the_one_after_it() -> None:
    stream = [packet for packet in steady(100) if packet[1] != 150]
    out = play(stream, until=3.0)
    assert out.lost + out.quiet >= 1
    assert out.sounds == [n for n in numbers(100) if n != b"150"]
    assert out.restorable in ([b"151"], [])


def test_redundancy_is_at_hand_when_there_is_delay() -> None:
    # A stream that needs 40 ms has the packet after the lost one in hand when the lost one is due.
    stream = [packet for packet in steady(300, (0.0, 0.04, 0.02)) if packet[1] != 350]
    assert play(stream, until=7.0).restorable == [b"351"]


def test_delay_grows_with_jitter_and_shrinks_back() -> None:
    rough = [0.0, 0.06, 0.01, 0.05, 0.02]
    calm = steady(200)
    middle = [(a + 4.0, s + 200, t + 200 * UNIT) for a, s, t in steady(300, rough)]
    end = [(a + 10.0, s + 500, t + 500 * UNIT) for a, s, t in steady(600)]
    out = play(calm + middle + end, until=22.5)
    waits = out.delays
    assert max(waits[50:200]) <= 0.025
    # Until the buffer has learnt some packets are late, each of which the next one mends.
    assert out.lost <= 8
    assert len(out.restorable) == out.lost
    assert sum(waits[-100:]) / 100 <= 0.030
    assert len(out.sounds) >= 1_100 - 8


def test_the_delay_has_a_bound() -> None:
    wild = [0.0, 0.4, 0.0, 0.3, 0.0, 0.0]
    out = play(steady(600, wild), until=13.0)
    assert max(out.delays[100:]) <= 0.120 + 0.045


def test_a_pause_of_the_sender_is_no_loss() -> None:
    before = steady(50)
    after = [(a + 2.0, s + 50, t + 50 * UNIT + 50 * UNIT) for a, s, t in steady(50)]
    out = play(before + after, until=4.0)
    assert out.lost == 0
    assert out.sounds == numbers(100)
    assert out.quiet >= 45


def test_a_hole_of_seconds_is_silence_and_not_made_up() -> None:
    stream = [packet for packet in steady(400) if not 150 <= packet[1] < 300]
    out = play(stream, until=9.0)
    assert out.lost <= 10
    assert out.sounds == [n for n in numbers(400) if not 150 <= int(n) < 300]
    assert out.delays[-1] <= 0.030


def test_numbers_wrap() -> None:
    wrapping = [(0.05 + i * FRAME, 65_500 + i, 2**32 - 10 * UNIT + i * UNIT) for i in range(100)]
    out = play(wrapping, until=3.0)
    assert out.sounds == [str(65_500 + i).encode() for i in range(100)]
    assert out.lost == 0


def test_a_stream_that_begins_anew_is_followed() -> None:
    again = [(2.0 + i * FRAME, 7 + i, 900_000_000 + i * UNIT) for i in range(100)]
    out = play(steady(90) + again, until=5.0)
    assert out.sounds[-50:] == [str(57 + i).encode() for i in range(50)]


def test_a_burst_after_a_stall_does_not_delay_what_follows() -> None:
    # For a second nothing arrives, then all of it at once.
    stream = [(max(a, 4.0) if 3.0 <= a < 4.0 else a, s, t) for a, s, t in steady(500)]
    out = play(stream, until=11.0)
    assert sum(out.delays[-50:]) / 50 <= 0.040


@given(
    seed=st.integers(0, 2**32 - 1),
    jitter=st.floats(0.0, 0.2),
    loss=st.floats(0.0, 0.5),
    copies=st.floats(0.0, 0.3),
)
def test_whatever_comes_is_played_in_order_once_and_bounded(
    seed: int, jitter: float, loss: float, copies: float
) -> None:
    dice = random.Random(seed)
    stream = []
    for arrival, sequence, timestamp in steady(200):
        for _ in range(1 + (dice.random() < copies)):
            if dice.random() >= loss:
                stream.append((arrival + dice.random() * jitter, sequence, timestamp))
    out = play(stream, until=6.0, phase=dice.random() * FRAME)
    order = [int(sound) for sound in out.sounds]
    assert order == sorted(set(order))
    assert all(0 <= delay <= 0.120 + 0.3 for delay in out.delays)
    assert out.buffer.counts.received == len(stream)
    # However it went, the clock got something at each tick and the buffer is empty in the end.
    assert isinstance(out.buffer.pull(6.1), Quiet)


@given(st.lists(st.tuples(st.integers(0, 65_535), st.integers(0, 2**32 - 1), st.floats(0, 100)), max_size=80))
def test_nonsense_does_no_harm(packets: list[tuple[int, int, float]]) -> None:
    buffer = ReceiveBuffer(CLOCK)
    now = 0.0
    for sequence, timestamp, wait in packets:
        now += wait
        buffer.push(sequence, timestamp, b"x", now)
        for _ in range(3):
            if isinstance(buffer.pull(now), Sound):
                buffer.played(UNIT)
    assert buffer.delay_ms >= 0
