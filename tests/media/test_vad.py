from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from media.frame import Voice
from media.segmenter import SpeechEnded, SpeechStarted, VoiceSuspected
from media.vad import BatchDetector, VadMode, VadSettings, open_detector
from tests.media.speech import FRAME, RATE, burst, edges, judged, prompts, scattered, segmented, spoken, tone

MODES = list(VadMode)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"webrtc_aggressiveness": 4}, "vad.webrtc_aggressiveness"),
        ({"gate_snr_db": -1.0}, "vad.gate_snr_db"),
        ({"gate_loud_dbfs": 3.0}, "vad.gate_loud_dbfs"),
        ({"sleep_after_ms": 50}, "vad.sleep_after_ms"),
    ],
)
def test_unfit_settings_are_named(change: dict[str, float], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        VadSettings(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_hears_speech_and_not_silence(mode: VadMode) -> None:
    pcm = spoken(prompts()[0])
    voices = judged(open_detector(VadSettings(mode=mode)), pcm)
    before = voices[: int(1.4 * 50)]
    assert not any(voice.quick for voice in before)
    assert max(voice.probability for voice in before) < 0.3
    assert any(voice.quick for voice in voices)
    assert max(voice.probability for voice in voices) > 0.9


def test_rows_are_answered_in_order_whatever_the_company() -> None:
    one, two = spoken(prompts()[0]), spoken(prompts()[1])
    count = min(len(one), len(two)) // FRAME
    alone = judged(open_detector(VadSettings()), one)[:count]
    shared = open_detector(VadSettings())
    for index in range(count):
        at = slice(index * FRAME, (index + 1) * FRAME)
        voices = shared.judge([40, 7], np.stack([two[at], one[at]]), [FRAME, FRAME], [RATE, RATE])
        assert voices[1].quick == alone[index].quick
        assert voices[1].probability == pytest.approx(alone[index].probability, abs=1e-3)


def test_a_backlog_of_one_leg_is_judged_oldest_first() -> None:
    pcm = spoken(prompts()[0])
    pcm = pcm[: len(pcm) // (3 * FRAME) * 3 * FRAME]
    late = open_detector(VadSettings())
    backlog: list[Voice] = []
    for at in range(0, len(pcm), 3 * FRAME):
        rows = pcm[at : at + 3 * FRAME].reshape(3, FRAME)
        backlog += late.judge([1, 1, 1], rows, [FRAME] * 3, [RATE] * 3)
    assert backlog == judged(open_detector(VadSettings()), pcm, leg=1)


def test_wide_and_narrow_legs_share_a_tick() -> None:
    narrow, wide = spoken(prompts()[0]), spoken(prompts(16000)[0], sample_rate=16000)
    detector = open_detector(VadSettings())
    frames = np.zeros((2, 320), np.int16)
    answers: list[list[Voice]] = []
    for index in range(min(len(narrow) // FRAME, len(wide) // 320)):
        frames[0, :FRAME] = narrow[index * FRAME : (index + 1) * FRAME]
        frames[1] = wide[index * 320 : (index + 1) * 320]
        answers.append(detector.judge([1, 2], frames, [FRAME, 320], [8000, 16000]))
    agree = [abs(one.probability - two.probability) < 0.3 for one, two in answers]
    assert np.mean(agree) > 0.9
    assert max(two.probability for _, two in answers) > 0.95


def test_a_leg_that_comes_back_is_a_stranger() -> None:
    pcm = spoken(prompts()[0])
    detector = open_detector(VadSettings())
    first = judged(detector, pcm)
    detector.forget(0)
    assert judged(detector, pcm) == first


def test_nothing_to_judge_and_frames_of_another_length() -> None:
    detector = open_detector(VadSettings(mode=VadMode.WEBRTC))
    assert detector.judge([], np.zeros((0, 320), np.int16), [], []) == []
    with pytest.raises(ValueError, match="20 ms"):
        detector.judge([1], np.zeros((1, 320), np.int16), [320], [8000])
    with pytest.raises(ValueError, match="44100"):
        detector.judge([1], np.zeros((1, 320), np.int16), [882], [44100])


def test_on_a_silent_line_the_model_rests_and_wakes_in_time() -> None:
    pcm = spoken(prompts()[0], before=3.0)
    resting, tireless = open_detector(VadSettings()), open_detector(VadSettings(sleep_after_ms=0))
    rested, full = judged(resting, pcm), judged(tireless, pcm)
    assert isinstance(resting, BatchDetector) and resting.model is not None and resting.model.skipped > 50
    assert isinstance(tireless, BatchDetector) and tireless.model is not None and tireless.model.skipped == 0

    def onset(voices: list[Voice]) -> int:
        return next(index for index, voice in enumerate(voices) if voice.probability >= 0.5)

    assert onset(rested) <= onset(full)


def test_speech_begins_in_time_and_ends_where_it_ended() -> None:
    """Bounds for single prompts; the percentiles over many are in the benchmark."""
    detector = open_detector(VadSettings())
    for index, prompt in enumerate(prompts()):
        pcm = spoken(prompt)
        first, last = edges(pcm)
        events = segmented(pcm, judged(detector, pcm, leg=index))
        # A voice that is certain at once is not suspected first.
        suspected = next(event for event in events if isinstance(event, VoiceSuspected | SpeechStarted))
        started = next(event for event in events if isinstance(event, SpeechStarted))
        ended = [event for event in events if isinstance(event, SpeechEnded)][-1]
        assert (suspected.at - first / RATE) < 0.08
        assert (started.at - first / RATE) < 0.16
        assert abs(started.onset_pts - first) < 0.12 * RATE
        assert abs(ended.speech_end_pts - last) < 0.2 * RATE
        assert ended.at - last / RATE < 0.45


@pytest.mark.parametrize(
    "sound",
    [
        scattered([tone([440, 480], 2.0)] * 2),
        scattered([tone([425], 1.0)] * 3),
        scattered([tone([low, high], 0.12) for low in (697, 941) for high in (1209, 1477)] * 2),
        scattered([burst(length, -20, seed) for seed, length in enumerate((0.1, 0.2, 0.3, 0.4))]),
        scattered([tone([50, 150, 250], 4.0, -30)]),
        spoken(np.random.default_rng(3).normal(0, 500, 6 * RATE).astype(np.int16)),
    ],
    ids=["ringback", "european-ringback", "dtmf", "coughs", "hum", "noise"],
)
def test_what_is_no_voice_starts_no_speech(sound: np.ndarray[tuple[int], np.dtype[np.int16]]) -> None:
    events = segmented(sound, judged(open_detector(VadSettings()), sound))
    assert [event for event in events if isinstance(event, SpeechStarted)] == []


def test_the_gate_alone_is_free_of_the_model() -> None:
    detector = open_detector(replace(VadSettings(), mode=VadMode.WEBRTC, silero_model="/nowhere"))
    assert isinstance(detector, BatchDetector) and detector.model is None
    assert judged(detector, np.zeros(FRAME * 3, np.int16)) == [Voice(False, 0.0)] * 3
    assert detector.legs == 1
