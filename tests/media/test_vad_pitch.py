from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.vad_input import VAD_RATE, VAD_SAMPLES, Floats
from media.vad_pitch import PitchConfirmer, periodicity, richness

TIME = np.arange(6 * VAD_SAMPLES) / VAD_RATE


def sound(wave: npt.NDArray[np.float64], peak: float = 0.3) -> Floats:
    scaled: Floats = (wave / np.abs(wave).max() * peak).astype(np.float32)
    return scaled


def voiced(hertz: float) -> Floats:
    """A voice's buzz: all harmonics, each weaker than the one below."""
    orders = range(1, int(3400 / hertz) + 1)
    return sound(np.sum([np.cos(2 * np.pi * hertz * n * TIME) / n for n in orders], axis=0))


def tones(*hertz: float) -> Floats:
    return sound(np.sum([np.sin(2 * np.pi * f * TIME) for f in hertz], axis=0))


def noise(seed: int) -> Floats:
    return sound(np.random.default_rng(seed).standard_normal(len(TIME)))


def answers(wave: Floats, *, asked: bool = True) -> list[bool]:
    confirmer = PitchConfirmer()
    confirmer.reset([0], 1)
    slots, rows = np.array([0], np.intp), np.array([asked])
    frames = wave.reshape(-1, 1, VAD_SAMPLES)
    return [bool(confirmer.judge(slots, frame, rows)[0]) for frame in frames]


@pytest.mark.parametrize("hertz", [85, 110, 160, 220, 300])
def test_a_voice_is_confirmed_by_its_third_frame(hertz: float) -> None:
    assert answers(voiced(hertz))[2:] == [True] * 4


@pytest.mark.parametrize("pair", [(440, 480), (425,), (400, 450), (480, 620), (697, 1209), (941, 1477)])
def test_tones_of_a_telephone_are_no_voice(pair: tuple[float, ...]) -> None:
    assert not any(answers(tones(*pair)))


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_no_voice(seed: int) -> None:
    assert not any(answers(noise(seed)))


def test_who_was_not_asked_about_is_not_confirmed() -> None:
    assert not any(answers(voiced(120), asked=False))


def test_a_new_leg_begins_with_nothing_of_the_last_one() -> None:
    confirmer = PitchConfirmer()
    slots, asked = np.array([0], np.intp), np.array([True])
    frames = voiced(120).reshape(-1, 1, VAD_SAMPLES)
    confirmer.reset([0], 1)
    for frame in frames:
        assert len(confirmer.judge(slots, frame, asked)) == 1
    confirmer.reset([0], 1)
    assert not confirmer.judge(slots, frames[0], asked)[0]


def test_legs_do_not_hear_each_other() -> None:
    confirmer = PitchConfirmer()
    confirmer.reset([0, 1], 2)
    both = np.stack([voiced(120), noise(1)]).reshape(2, -1, VAD_SAMPLES)
    slots, asked = np.array([0, 1], np.intp), np.array([True, True])
    last = [confirmer.judge(slots, both[:, at], asked).tolist() for at in range(both.shape[1])][-1]
    assert last == [True, False]


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))
def test_both_measures_lie_between_0_and_1(seed: int, level: float) -> None:
    window = (np.random.default_rng(seed).standard_normal((3, 320)) * level).astype(np.float32)
    for measure in (periodicity, richness):
        values = measure(window)
        assert values.shape == (3,)
        assert np.all(values >= -1e-3) and np.all(values <= 1 + 1e-3)


def test_silence_has_no_pitch() -> None:
    nothing = np.zeros((1, 320), np.float32)
    assert periodicity(nothing)[0] == 0.0
    assert richness(nothing)[0] == 0.0
