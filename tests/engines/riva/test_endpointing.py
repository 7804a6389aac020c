"""Segments in a stream that nobody cut."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.riva.endpointing import Endpointer, EndpointSettings, LevelJudge, Step
from media import tones
from media.frame import AudioFrame, Pcm
from tests.engines.riva.sounds import recorded

SETTINGS = EndpointSettings(
    start_history=100, start_threshold=0.5, stop_history=400, stop_threshold=1.0,
    stop_history_eou=200, stop_threshold_eou=1.0, preroll=200,
)  # fmt: skip


class Scripted:
    """Voiced is what is not zero."""

    def voiced(self, frame: AudioFrame) -> bool:
        return bool(frame.pcm.any())


def frames(answers: Iterable[bool]) -> list[AudioFrame]:
    return [AudioFrame(np.full(160, yes, np.int16), 8000, n * 160, 0.0) for n, yes in enumerate(answers)]


def steps(answers: str, settings: EndpointSettings = SETTINGS) -> dict[int, Step]:
    endpointer = Endpointer(settings, Scripted())
    found = {n: endpointer.push(frame) for n, frame in enumerate(frames(c == "x" for c in answers))}
    return {n: step for n, step in found.items() if step}


def test_speech_starts_pauses_goes_on_and_ends() -> None:
    told = steps("....." + "xxx" + "." * 11 + "x" + "." * 20)
    assert told == {7: Step.START, 17: Step.PAUSE, 19: Step.RESUME, 29: Step.PAUSE, 39: Step.END}


def test_one_loud_frame_is_no_speech() -> None:
    assert steps("..........x.........") == {}


def test_without_a_first_pass_there_is_no_pause() -> None:
    told = steps(
        "xxxxx" + "." * 30, EndpointSettings(start_history=100, stop_history=400, stop_history_eou=0)
    )
    assert list(told.values()) == [Step.START, Step.END]


def test_the_preroll_holds_the_sound_before_the_start_once() -> None:
    endpointer = Endpointer(SETTINGS, Scripted())
    for frame in frames([False] * 30 + [True] * 3):
        step = endpointer.push(frame)
    assert step is Step.START and endpointer.speaking
    assert [frame.pts // 160 for frame in endpointer.preroll()] == list(range(17, 33))
    assert endpointer.preroll() == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), max_size=300))
def test_steps_always_alternate(answers: list[bool]) -> None:
    told = list(steps("".join(".x"[yes] for yes in answers)).values())
    may_follow = {
        None: {Step.START}, Step.START: {Step.PAUSE, Step.END}, Step.PAUSE: {Step.RESUME, Step.END},
        Step.RESUME: {Step.PAUSE, Step.END}, Step.END: {Step.START},
    }  # fmt: skip
    for before, after in zip([None, *told], told, strict=False):
        assert after in may_follow[before]


def share(pcm: Pcm, skip: float = 0.0) -> float:
    judge = LevelJudge()
    cut = [AudioFrame(pcm[n : n + 160], 8000, n, 0.0) for n in range(0, len(pcm) - 159, 160)]
    answers = [judge.voiced(frame) for frame in cut][int(skip * 50) :]
    return sum(answers) / len(answers)


def test_speech_is_voice_and_the_line_is_not() -> None:
    assert share(recorded("demo-thanks.wav")) > 0.5
    assert share(tones.silence(2.0, 8000)) == 0.0
    assert share(tones.comfort_noise(2.0, 8000, -65.0)) == 0.0


def test_steady_noise_is_voice_only_until_it_is_known() -> None:
    hum = tones.comfort_noise(12.0, 8000, -40.0)
    assert share(hum, skip=8.0) < 0.02


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start_history", 0), ("stop_history", 20_000), ("stop_history_eou", 900), ("stop_history_eou", -1),
        ("start_threshold", 0.0), ("stop_threshold", 1.5), ("stop_threshold_eou", float("nan")),
        ("preroll", 3000),
    ],
)  # fmt: skip
def test_settings_name_the_field(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        EndpointSettings(**{name: value})  # type: ignore[arg-type]
