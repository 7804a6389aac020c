from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.coqui.sound import Leg, Loudness, Stretching
from engines.loudness import Samples, active_level
from tests.fakes.tokens import RATE, hum


def quiet(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), np.float32)


def pushed(pieces: list[Samples], gain: float = 0.0) -> Samples:
    stretch = Stretching(RATE, Loudness(), gain)
    out = [stretch.push(piece, last=n == len(pieces) - 1) for n, piece in enumerate(pieces)]
    return np.concatenate(out)


def test_silence_at_both_ends_is_cut_and_the_edges_fade() -> None:
    pcm = pushed(
        [quiet(0.3), np.concatenate([quiet(0.2), hum(RATE)]), np.concatenate([hum(RATE), quiet(0.5)])]
    )
    assert len(pcm) / RATE == pytest.approx(2.04, abs=0.02)
    assert abs(pcm[0]) < 0.001 and abs(pcm[-1]) < 0.001


def test_a_pause_in_the_middle_stays() -> None:
    assert len(pushed([hum(RATE), quiet(0.4), hum(RATE)])) / RATE == pytest.approx(2.4, abs=0.02)


def test_nothing_but_silence_is_nothing() -> None:
    assert len(pushed([quiet(0.5), quiet(0.5)])) == 0
    assert len(pushed([quiet(0.0)])) == 0


@pytest.mark.parametrize("gain", [0.0, 12.0, -6.0])
def test_the_level_comes_where_it_belongs_whatever_it_began_with(gain: float) -> None:
    raw = 0.25 * hum(6 * RATE)
    pieces = [raw[place : place + 6000] for place in range(0, len(raw), 6000)]
    pcm = pushed(pieces, gain)
    assert active_level(pcm[3 * RATE :], RATE) == pytest.approx(-20, abs=0.7)


def test_a_known_voice_is_right_from_the_first_sound_on() -> None:
    pcm = pushed([0.25 * hum(RATE // 4), 0.25 * hum(RATE, RATE // 4)], gain=12.0)
    assert active_level(pcm[: RATE // 4], RATE) == pytest.approx(-20, abs=1.0)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(300, 9000), min_size=1, max_size=12), st.sampled_from([8000, 16000, 24000]))
def test_however_it_is_cut_nothing_clicks(sizes: list[int], rate: int) -> None:
    """The steps of a smooth tone stay as small as the tone's own, across all joints."""
    stretch, leg = Stretching(RATE, Loudness(), 0.0), Leg(RATE, rate)
    out, at = [], 0
    for n, size in enumerate(sizes):
        out.append(leg.push(stretch.push(hum(size, at), last=n == len(sizes) - 1)))
        at += size
    out.append(leg.flush())
    pcm = np.concatenate(out).astype(float)
    peak = np.abs(pcm).max(initial=1.0)
    assert (
        np.abs(np.diff(pcm, prepend=0.0, append=0.0)).max(initial=0.0) <= peak * (2 * np.pi * 480 / rate) + 60
    )


def test_a_leg_joins_stretches_with_their_pause() -> None:
    leg = Leg(RATE, 8000)
    pcm = np.concatenate([leg.push(hum(RATE), 0.25), leg.push(hum(RATE)), leg.flush()])
    assert len(pcm) / 8000 == pytest.approx(2.25, abs=0.001)
    assert np.abs(pcm[8100:9900]).max() < 40


def test_a_whole_stretch_tells_what_was_cut_off_its_front() -> None:
    pcm, cut = Loudness().whole(np.concatenate([quiet(0.3), hum(RATE), quiet(0.3)]), RATE)
    assert cut == pytest.approx(0.29, abs=0.006)
    assert len(pcm) / RATE == pytest.approx(1.04, abs=0.011)
