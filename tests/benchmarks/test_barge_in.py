from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.barge_in import interruptions, levels, sounding, yielding
from benchmarks.conversations import Conversation
from callers.g711 import Pcm, ulaw_decode, ulaw_encode
from callers.pcap import Endpoint
from callers.rtp import RtpStream
from callers.speech import RATE, Prompt, Track, build_track

MS = 1_000_000
HERE, THERE = Endpoint("127.0.0.1", 4000), Endpoint("127.0.0.1", 5000)


def speechlike(seconds: float, seed: int) -> Pcm:
    pcm: Pcm = np.random.default_rng(seed).integers(-9000, 9000, round(seconds * RATE)).astype(np.int16)
    return ulaw_decode(ulaw_encode(pcm))


def stream(pcm: Pcm) -> RtpStream:
    """Sent in 20 ms packets from 0 on, exactly on time."""
    payload = [ulaw_encode(pcm[at : at + 160]).tobytes() for at in range(0, len(pcm), 160)]
    number = np.arange(len(payload), dtype=np.int64)
    kinds = np.zeros(len(payload), dtype=np.uint8)
    return RtpStream(HERE, THERE, 1, number * 20 * MS, number, number * 160, kinds, tuple(payload))


def conversation(track: Track, reply: Sequence[Pcm]) -> Conversation:
    return Conversation(track, stream(track.pcm), stream(np.concatenate(reply)), {"turns": []})


@pytest.fixture
def greeting() -> Pcm:
    return speechlike(6.0, seed=1)


def test_level_against_the_greeting(greeting: Pcm) -> None:
    half: Pcm = (greeting * 0.5).astype(np.int16)
    assert np.nanmedian(levels(half, greeting)) == pytest.approx(0.5, abs=0.01)
    assert np.isnan(levels(greeting, np.zeros_like(greeting))).all()


def test_times_of_a_duck_and_a_stop(greeting: Pcm) -> None:
    track = build_track([Prompt("p", "x", speechlike(1.0, seed=2))], lead=2.0, gap=0, tail=3.0)
    low: Pcm = (greeting[16480:16960] * 0.25).astype(np.int16)
    quiet = np.zeros(800, dtype=np.int16)
    later = speechlike(2.0, seed=3)  # another reply, which is no part of the greeting
    one = conversation(track, [greeting[:16480], low, quiet, quiet, later])
    found = yielding(one, greeting)
    # Spoken from sample 16,000 on, which leaves in a packet at 2.00 s: 20 ms after it was spoken.
    assert found.ducked == pytest.approx(2060 - 1980)
    assert found.stopped == pytest.approx(2100 - 1980)


def test_a_reply_that_goes_on_was_not_stopped(greeting: Pcm) -> None:
    track = build_track([Prompt("p", "x", speechlike(1.0, seed=2))], lead=2.0, gap=0, tail=3.0)
    found = yielding(conversation(track, [greeting]), greeting)
    assert np.isnan(found.ducked) and np.isnan(found.stopped)


def test_interruptions_come_at_moments_of_their_own() -> None:
    prompt = Prompt("p", "x", speechlike(0.5, seed=2))
    moments = [3.0 + number * 0.005 for number in range(200)]
    starts = [track.spoken[0].start for track in interruptions([prompt], 8, moments)]
    assert len(set(starts)) == 8
    assert all(any(abs(start - moment * RATE) < 1 for moment in moments) for start in starts)


def test_moments_lie_where_the_greeting_does_not_pause(greeting: Pcm) -> None:
    paused = greeting.copy()
    paused[2 * RATE : 3 * RATE] = 0
    moments = sounding(paused, 1.0, after=0.0, until=10.0)
    assert min(moments) == pytest.approx(1.06)
    assert not [moment for moment in moments if 2.73 < moment < 4.04]
    assert [moment for moment in moments if moment > 4.05]
    assert sounding(paused, 1.0, after=2.8, until=4.0) == []
