from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media.vad_input import Floats
from media.vad_silero import ModelMissing, SileroModel, find_model
from tests.media.speech import FRAME, prompts, spoken


@pytest.fixture(scope="module")
def model() -> SileroModel:
    return SileroModel(find_model())


def frames(index: int = 0) -> Floats:
    sound: Floats = spoken(prompts()[index], before=0.6, after=0.4).reshape(-1, FRAME).astype(np.float32)
    return sound / np.float32(32768)


def run(model: SileroModel, slots: list[int], rows: list[Floats], awake: bool = True) -> Floats:
    """The answers per frame and slot, from fresh slots."""
    model.reset(slots, max(slots) + 1)
    where = np.array(slots)
    flags = np.full(len(slots), awake)
    length = min(len(row) for row in rows)
    return np.stack([model.judge(where, np.stack([row[i] for row in rows]), flags) for i in range(length)])


def test_a_missing_file_is_told_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="vad.silero_model"):
        find_model(str(tmp_path / "nothing.onnx"))


def test_speech_is_sure_and_silence_is_not(model: SileroModel) -> None:
    answers = run(model, [0], [frames()])
    assert answers[:28].max() < 0.3
    assert answers[30:].max() > 0.95


def test_a_batch_answers_as_each_alone(model: SileroModel) -> None:
    one, two = frames(0), frames(1)
    together = run(model, [3, 1], [one, two])
    for column, sound in enumerate((one, two)):
        alone = run(model, [5], [sound])[: len(together), 0]
        np.testing.assert_allclose(together[:, column], alone, atol=1e-4)


def test_five_frames_hold_three_windows(model: SileroModel) -> None:
    before = model.windows
    run(model, [0], [np.zeros((40, FRAME), np.float32)])
    assert model.windows - before == 25


def test_asleep_no_window_is_run_and_the_next_one_is_whole(model: SileroModel) -> None:
    sound = frames()
    windows, skipped = model.windows, model.skipped
    run(model, [0], [sound[:20]], awake=False)
    assert model.windows == windows
    assert model.skipped - skipped == 20 * FRAME // 256
    awake = np.full(1, True)
    answers = [float(model.judge(np.array([0]), frame[None], awake)[0]) for frame in sound[20:]]
    assert max(answers) > 0.95


def test_a_reset_slot_has_forgotten(model: SileroModel) -> None:
    sound = frames()
    first = run(model, [2], [sound])
    assert float(model.probability(np.array([2]))[0]) == first[-1, 0]
    np.testing.assert_allclose(run(model, [2], [sound]), first, atol=1e-6)
