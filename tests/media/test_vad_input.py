from __future__ import annotations

import numpy as np
import pytest

from media.vad_input import Floats, Halver, LegSlots, LevelGate, grown


def noise(frames: int, dbfs: float, seed: int = 1) -> Floats:
    sound = np.random.default_rng(seed).standard_normal((frames, 160)) * 10 ** (dbfs / 20)
    return sound.astype(np.float32)


def test_a_forgotten_slot_is_given_to_the_next_leg_as_fresh() -> None:
    slots = LegSlots()
    first, fresh = slots.take([7, 8])
    assert (first.tolist(), fresh) == ([0, 1], [0, 1])
    assert slots.take([8, 7])[1] == []
    slots.forget(7)
    slots.forget(99)
    again, fresh = slots.take([9, 8])
    assert (again.tolist(), fresh, slots.needed, len(slots)) == ([0, 1], [0], 2, 2)


def test_the_same_number_forgotten_and_back_is_a_new_leg() -> None:
    slots = LegSlots()
    slots.take([7])
    slots.forget(7)
    assert slots.take([7])[1] == [0]


def test_growing_keeps_what_was_there() -> None:
    array = grown(np.ones((2, 3), np.float32), 5)
    assert array.shape == (5, 3)
    assert array[:2].all() and not array[2:].any()
    assert grown(array, 4) is array


@pytest.mark.parametrize(("hertz", "kept"), [(300, True), (3000, True), (5500, False), (7000, False)])
def test_halving_keeps_the_telephone_band_and_stops_what_would_alias(hertz: int, kept: bool) -> None:
    halver = Halver()
    halver.reset([0], 1)
    wide = np.sin(2 * np.pi * hertz * np.arange(3200) / 16000).astype(np.float32)
    pieces = [halver.halve(np.array([0]), wide[None, at : at + 320])[0] for at in range(0, 3200, 320)]
    level = float(np.sqrt(np.mean(np.concatenate(pieces[1:]) ** 2))) * np.sqrt(2)
    assert (level > 0.9) if kept else (level < 0.05)


def test_halving_in_frames_equals_halving_at_once() -> None:
    wide = noise(4, -20).reshape(1, -1)
    whole, cut = Halver(), Halver()
    whole.reset([0], 1)
    cut.reset([0], 1)
    at_once = whole.halve(np.array([0]), wide)
    pieces = [cut.halve(np.array([0]), wide[:, at : at + 320]) for at in range(0, 640, 320)]
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), at_once, atol=1e-6)


def gate() -> LevelGate:
    level = LevelGate(snr_db=10.0, loud_dbfs=-45.0)
    level.reset([0], 1)
    return level


SLOT = np.array([0])


def test_steady_noise_neither_stands_out_nor_stirs_once_learnt() -> None:
    level = gate()
    answers = [level.judge(SLOT, frame[None]) for frame in noise(500, -38)]
    assert sum(bool(standing[0]) for standing, _ in answers[250:]) == 0
    assert sum(bool(stirring[0]) for _, stirring in answers[250:]) == 0


def test_a_click_does_not_stand_out_but_a_syllable_does() -> None:
    level = gate()
    quiet, loud = noise(1, -62), noise(1, -25)
    click = quiet.copy()
    click[0, 40:60] = 0.5
    for _ in range(20):
        level.judge(SLOT, quiet)
    assert not level.judge(SLOT, click)[0][0]
    level.judge(SLOT, quiet)
    assert level.judge(SLOT, loud)[0][0]


def test_a_whisper_below_the_loudness_limit_stirs_only() -> None:
    level = gate()
    for _ in range(20):
        level.judge(SLOT, noise(1, -66))
    standing, stirring = level.judge(SLOT, noise(1, -50))
    assert not standing[0] and stirring[0]


def test_silence_is_no_error() -> None:
    standing, stirring = gate().judge(SLOT, np.zeros((1, 160), np.float32))
    assert not standing[0] and not stirring[0]
