from __future__ import annotations

import numpy as np
import pytest

from engines.loudness import (
    SILENCE,
    Samples,
    active_level,
    faded,
    levelled,
    limited,
    speech_bounds,
    to_pcm,
)

RATE = 24000


def sine(seconds: float, level: float, hz: float = 300) -> Samples:
    time = np.arange(round(seconds * RATE)) / RATE
    wave: Samples = (np.sqrt(2) * 10 ** (level / 20) * np.sin(2 * np.pi * hz * time)).astype(np.float32)
    return wave


def quiet(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), np.float32)


def test_pauses_do_not_count_in_the_active_level() -> None:
    spoken = np.concatenate([quiet(1), sine(0.5, -25), quiet(2)])
    assert active_level(spoken, RATE) == pytest.approx(-25, abs=0.2)
    assert active_level(quiet(1), RATE) == SILENCE
    assert active_level(quiet(0), RATE) == SILENCE


def test_levelled_reaches_the_target_unless_that_needs_too_much_gain() -> None:
    assert active_level(levelled(sine(0.5, -32), RATE, -20, 20), RATE) == pytest.approx(-20, abs=0.2)
    assert active_level(levelled(sine(0.5, -10), RATE, -20, 20), RATE) == pytest.approx(-20, abs=0.2)
    assert active_level(levelled(sine(0.5, -50), RATE, -20, 12), RATE) == pytest.approx(-38, abs=0.2)
    assert not levelled(quiet(0.1), RATE, -20, 12).any()


def test_the_limiter_bends_peaks_and_leaves_the_rest_alone() -> None:
    ramp = np.linspace(-4, 4, 4001, dtype=np.float32)
    bent = limited(ramp)
    assert np.all(np.diff(bent) >= 0) and np.abs(bent).max() < 1
    untouched = np.abs(ramp) <= 0.6
    assert np.array_equal(bent[untouched], ramp[untouched])
    assert np.abs(np.diff(bent)).max() <= np.diff(ramp).max() * 1.01


def test_speech_is_found_between_its_silences() -> None:
    start, end = speech_bounds(np.concatenate([quiet(0.3), sine(0.5, -25), quiet(0.4)]), RATE, -58)
    assert start / RATE == pytest.approx(0.3, abs=0.006)
    assert end / RATE == pytest.approx(0.8, abs=0.006)
    assert speech_bounds(quiet(1), RATE, -58) == (0, 0)
    assert speech_bounds(quiet(0), RATE, -58) == (0, 0)


def test_fades_start_and_end_at_nothing_and_do_not_touch_the_middle_or_the_input() -> None:
    wave = np.ones(2400, np.float32)
    out = faded(wave, RATE, 0.01, 0.02)
    assert out[0] == 0 and out[-1] == pytest.approx(0, abs=1e-6)
    assert np.array_equal(out[240:1920], wave[240:1920])
    assert np.abs(np.diff(out)).max() < 0.01
    assert wave.min() == 1
    assert len(faded(np.ones(1, np.float32), RATE, 0.1, 0.1)) == 1


def test_samples_clip_instead_of_wrapping() -> None:
    assert to_pcm(np.array([0, 0.5, 1.5, -1.5], np.float32)).tolist() == [0, 16384, 32767, -32768]
