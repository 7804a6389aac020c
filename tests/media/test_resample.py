from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.frame import Pcm
from media.resample import Resampler, resample
from media.tones import rms_level, tone, tone_level

RATES = [8000, 16000, 24000, 48000]


def stream(pcm: Pcm, src: int, dst: int, step: int) -> Pcm:
    resampler = Resampler(src, dst)
    pieces = [resampler.push(pcm[i : i + step]) for i in range(0, len(pcm), step)]
    return np.concatenate([*pieces, resampler.flush()])


@pytest.mark.parametrize("src", RATES)
@pytest.mark.parametrize("dst", RATES)
def test_a_tone_keeps_its_pitch_level_and_length(src: int, dst: int) -> None:
    pcm = tone((1000.0,), 0.5, src, -20)
    for out in (resample(pcm, src, dst), stream(pcm, src, dst, 160)):
        assert len(out) == dst // 2 and out.dtype == np.int16
        assert tone_level(out, 1000, dst) == pytest.approx(-20, abs=0.3)
        assert rms_level(out) == pytest.approx(tone_level(out, 1000, dst), abs=0.1)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 700), st.sampled_from(RATES), st.sampled_from(RATES))
def test_any_chunking_gives_the_samples_of_one_go(length: int, step: int, src: int, dst: int) -> None:
    pcm = np.random.default_rng(length).integers(-20000, 20000, length).astype(np.int16)
    in_pieces, whole = stream(pcm, src, dst, step), stream(pcm, src, dst, length)
    assert len(in_pieces) == len(whole) == pytest.approx(length * dst / src, abs=1)
    assert np.abs(in_pieces.astype(int) - whole).max(initial=0) <= 1


def test_what_the_new_rate_cannot_carry_is_gone() -> None:
    assert rms_level(resample(tone((6000.0,), 0.5, 24000, -10), 24000, 8000)) < -60


def test_full_scale_clips_instead_of_wrapping() -> None:
    square = np.repeat(np.array([32767, -32768] * 100, np.int16), 40)
    out = resample(square, 8000, 16000)
    assert out.max() == 32767 and out.min() == -32768
    assert np.all(out[30:60] > 20000)


def test_the_same_input_always_gives_the_same_output() -> None:
    pcm = tone((440.0,), 0.1, 24000)
    assert np.array_equal(resample(pcm, 24000, 8000), resample(pcm, 24000, 8000))


def test_nothing_in_nothing_out_and_a_flushed_resampler_starts_anew() -> None:
    assert len(resample(np.zeros(0, np.int16), 8000, 16000)) == 0
    resampler = Resampler(8000, 16000)
    pcm = tone((500.0,), 0.1, 8000)
    first = np.concatenate([resampler.push(pcm), resampler.flush()])
    second = np.concatenate([resampler.push(pcm), resampler.flush()])
    assert np.array_equal(first, second)


def test_rates_must_be_above_zero() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Resampler(0, 8000)
