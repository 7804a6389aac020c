from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.frame import Pcm
from media.live_resample import LiveResampler, steady
from media.resample import Resampler

PAIRS = [(8000, 16000), (16000, 8000), (8000, 24000), (24000, 8000), (16000, 24000), (24000, 16000)]


def sine(hertz: float, rate: int, seconds: float = 0.5) -> Pcm:
    t = np.arange(round(seconds * rate)) / rate
    return np.asarray(10_000 * np.sin(2 * np.pi * hertz * t)).astype(np.int16)


def level(pcm: Pcm) -> float:
    """Decibels relative to the tone that went in, away from the edges."""
    middle = pcm[len(pcm) // 4 : -len(pcm) // 4].astype(float)
    return float(20 * np.log10(np.sqrt((middle**2).mean()) / (10_000 / np.sqrt(2)) + 1e-9))


@pytest.mark.parametrize(("src", "dst"), PAIRS)
def test_every_frame_gives_a_frame_at_once(src: int, dst: int) -> None:
    resampler = LiveResampler(src, dst)
    assert {len(resampler.push(np.zeros(src // 50, np.int16))) for _ in range(20)} == {dst // 50}


@pytest.mark.parametrize(("src", "dst"), PAIRS)
@pytest.mark.parametrize("hertz", [300, 1000, 3300])
def test_speech_passes_and_stays_where_it_was(src: int, dst: int, hertz: int) -> None:
    resampler = LiveResampler(src, dst, aligned=True)
    out = np.concatenate([resampler.push(sine(hertz, src)), resampler.flush()])
    wanted = sine(hertz, dst)
    assert len(out) == len(wanted)
    middle = slice(len(wanted) // 4, -len(wanted) // 4)
    assert np.abs(out[middle].astype(int) - wanted[middle].astype(int)).max() < 150


@pytest.mark.parametrize(("src", "dst"), [pair for pair in PAIRS if pair[0] > pair[1]])
def test_what_the_lower_rate_cannot_carry_is_taken_out(src: int, dst: int) -> None:
    assert level(LiveResampler(src, dst).push(sine(dst / 2 * 1.15, src))) < -50


@pytest.mark.parametrize(("src", "dst"), PAIRS)
@given(cuts=st.lists(st.integers(0, 700), max_size=12))
def test_how_the_stream_is_cut_makes_no_difference(src: int, dst: int, cuts: list[int]) -> None:
    pcm = sine(700, src, 0.2)
    whole, pieces = LiveResampler(src, dst, aligned=True), LiveResampler(src, dst, aligned=True)
    wanted = np.concatenate([whole.push(pcm), whole.flush()])
    got, at = [], 0
    for cut in [*cuts, len(pcm)]:
        got.append(pieces.push(pcm[at : at + cut]))
        at = min(at + cut, len(pcm))
    assert np.abs(np.concatenate([*got, pieces.flush()]).astype(int) - wanted).max() <= 1


def test_equal_rates_change_nothing_and_rates_below_one_are_refused() -> None:
    resampler = LiveResampler(8000, 8000)
    assert np.array_equal(resampler.push(sine(440, 8000)), sine(440, 8000)) and not len(resampler.flush())
    with pytest.raises(ValueError, match="above 0"):
        LiveResampler(0, 8000)


def test_who_waits_for_live_sound_gets_it_frame_by_frame() -> None:
    """24 kHz in pieces of 20 ms: each gives its 20 ms, but for the filter's own delay."""
    stream, given = steady(24_000, 8_000), []
    for at in range(0, 12_000, 480):
        given.append(len(stream.push(sine(440, 24_000)[at : at + 480])))
    assert all(count == 160 for count in given[1:]) and 100 <= given[0] <= 160
    assert sum(given) + len(stream.flush()) == 4_000


def test_odd_rates_are_left_to_the_other_one() -> None:
    assert isinstance(steady(44_100, 16_000), Resampler) and isinstance(steady(48_000, 8_000), LiveResampler)
    with pytest.raises(ValueError, match="above 0"):
        steady(0, 8_000)
