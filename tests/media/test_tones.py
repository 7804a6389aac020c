from __future__ import annotations

import numpy as np
import pytest

from media.tones import (
    RINGBACK_HZ,
    Goertzel,
    beep,
    comfort_noise,
    dtmf,
    ringback,
    rms_level,
    silence,
    tone,
    tone_level,
)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_a_beep_is_heard_at_its_frequency_and_level(rate: int) -> None:
    pcm = beep(rate, seconds=1.0, hz=1000, level=-20)
    assert len(pcm) == rate
    assert tone_level(pcm, 1000, rate) == pytest.approx(-20, abs=0.2)
    assert tone_level(pcm, 1500, rate) < -60
    assert abs(int(pcm[0])) < 10 and abs(int(pcm[-1])) < 10


def test_ringback_sounds_two_seconds_of_six() -> None:
    pcm = ringback(8000, level=-20)
    assert len(pcm) == 48000
    assert not pcm[16000:].any()
    for hz in RINGBACK_HZ:
        assert tone_level(pcm[:16000], hz, 8000) == pytest.approx(-23, abs=0.2)


def test_comfort_noise_has_its_level_and_repeats() -> None:
    assert rms_level(comfort_noise(1.0, 8000, -50)) == pytest.approx(-50, abs=0.3)
    assert np.array_equal(comfort_noise(0.1, 8000, seed=3), comfort_noise(0.1, 8000, seed=3))
    assert not np.array_equal(comfort_noise(0.1, 8000, -40, 3), comfort_noise(0.1, 8000, -40, 4))


def test_a_key_sounds_as_its_row_and_column() -> None:
    pcm = dtmf("#", 8000, 0.5, level=-10)
    assert tone_level(pcm, 941, 8000) == pytest.approx(-13, abs=0.3)
    assert tone_level(pcm, 1477, 8000) == pytest.approx(-13, abs=0.3)
    for bad in ("", "E", "12", "a"):
        with pytest.raises(ValueError, match="no such key"):
            dtmf(bad, 8000)


def test_silence_has_no_level_and_no_tone() -> None:
    for pcm in (silence(0.1, 8000), silence(0.0, 8000)):
        assert rms_level(pcm) == float("-inf")
        assert tone_level(pcm, 440, 8000) == float("-inf")


def test_loud_tones_clip_instead_of_wrapping() -> None:
    pcm = tone((440.0,), 0.5, 8000, level=6)
    assert pcm.max() == 32767 and pcm.min() == -32768
    assert tone_level(pcm, 440, 8000) > -3


def test_goertzel_wants_a_whole_block() -> None:
    with pytest.raises(ValueError, match="block of 160"):
        Goertzel((440.0,), 160, 8000).powers(silence(0.01, 8000))
