from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.frame import AudioFrame, Pcm, Voice
from media.segmenter import (
    SegmenterSettings,
    SegmentEvent,
    SpeechEnded,
    SpeechSegmenter,
    SpeechStarted,
    VoiceDismissed,
    VoiceSuspected,
)

RATE, FRAME = 8000, 160
QUIET = Voice(False, 0.02)
OPEN = Voice(True, 0.1)
MAYBE = Voice(True, 0.55)
SURE = Voice(True, 0.97)
DEFAULTS = SegmenterSettings()


def play(
    script: list[Voice], sound: Pcm | None = None, config: SegmenterSettings = DEFAULTS, step: int = FRAME
) -> list[SegmentEvent]:
    """Push one frame per judgement; without sound, a loud frame where the gate or the model says voice."""
    segmenter = SpeechSegmenter(config, RATE)
    events: list[SegmentEvent] = []
    for index, voice in enumerate(script):
        at = index * step
        loud = voice.quick or voice.probability > 0.5
        pcm = np.full(step, 3000 if loud else 3, np.int16) if sound is None else sound[at : at + step]
        events += segmenter.push(AudioFrame(pcm, RATE, at, 10.0 + (at + step) / RATE), voice)
    return events


def kinds(events: list[SegmentEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"threshold": 0.9}, "threshold"),
        ({"release": 0.6}, "release"),
        ({"hangover_ms": 10}, "hangover_ms"),
        ({"settle_ms": 300}, "settle_ms"),
        ({"preroll_ms": 5000}, "preroll_ms"),
        ({"dismiss_ms": 0}, "dismiss_ms"),
    ],
)
def test_unfit_settings_are_named(change: dict[str, float], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        replace(DEFAULTS, **change)  # type: ignore[arg-type]


def test_a_sentence_is_suspected_started_and_ended() -> None:
    events = play([QUIET] * 10 + [OPEN] * 2 + [SURE] * 20 + [QUIET] * 20)
    assert kinds(events) == ["VoiceSuspected", "SpeechStarted", "SpeechEnded"]
    suspected, started, ended = events
    assert isinstance(suspected, VoiceSuspected) and suspected.pts == 10 * FRAME
    assert isinstance(started, SpeechStarted) and started.pts == 12 * FRAME
    assert started.onset_pts == 10 * FRAME
    assert started.onset_at == pytest.approx(10.2)
    assert isinstance(ended, SpeechEnded)
    assert ended.speech_end_pts == 32 * FRAME
    assert ended.speech_end_at == pytest.approx(10.64)
    assert ended.at - ended.speech_end_at == pytest.approx(0.2)


def test_a_cough_is_suspected_and_dismissed_when_the_gate_has_shut() -> None:
    events = play([QUIET] * 5 + [OPEN] * 4 + [QUIET] * 10)
    assert kinds(events) == ["VoiceSuspected", "VoiceDismissed"]
    dismissed = events[1]
    assert isinstance(dismissed, VoiceDismissed) and dismissed.pts == 12 * FRAME


def test_a_lasting_noise_is_dismissed_once_and_not_suspected_again_until_it_stops() -> None:
    noise = [OPEN] * 100
    events = play(noise + [QUIET] * 4 + noise)
    assert kinds(events) == ["VoiceSuspected", "VoiceDismissed"] * 2
    assert events[1].pts - events[0].pts == (240 - 20) * 8


def test_doubtful_voice_must_last_and_certain_voice_need_not() -> None:
    assert kinds(play([QUIET] * 5 + [MAYBE] * 2 + [QUIET] * 10)) == ["VoiceSuspected", "VoiceDismissed"]
    lasting = play([QUIET] * 5 + [MAYBE] * 3)
    assert kinds(lasting) == ["VoiceSuspected", "SpeechStarted"]
    assert kinds(play([QUIET] * 5 + [Voice(False, 0.7)])) == ["SpeechStarted"]


def test_doubtful_voice_counts_only_where_the_gate_has_opened() -> None:
    half_believed = Voice(False, 0.6)
    assert kinds(play([QUIET] * 5 + [half_believed] * 30)) == []
    assert kinds(play([QUIET] * 5 + [MAYBE] + [half_believed] * 2))[-1] == "SpeechStarted"
    assert kinds(play([MAYBE, QUIET] + [half_believed] * 10)) == ["VoiceSuspected", "VoiceDismissed"]


def test_a_pause_shorter_than_the_hangover_does_not_end_speech() -> None:
    assert "SpeechEnded" not in kinds(play([SURE] * 10 + [QUIET] * 9 + [SURE] * 10))
    assert kinds(play([SURE] * 10 + [QUIET] * 10 + [SURE] * 10)).count("SpeechEnded") == 1


def test_edges_lie_inside_frames_where_the_energy_is() -> None:
    sound = np.full(60 * FRAME, 5, np.int16)
    sound[10 * FRAME + 80 : 30 * FRAME + 40] = 4000
    script = [QUIET] * 13 + [SURE] * 22 + [QUIET] * 25  # the model is late on both edges
    started, ended = play(script, sound)
    assert isinstance(started, SpeechStarted) and isinstance(ended, SpeechEnded)
    assert started.onset_pts == 10 * FRAME + 80
    assert ended.speech_end_pts == 30 * FRAME + 40
    assert ended.speech_end_at == pytest.approx(10.0 + (30 * FRAME + 40) / RATE)


def test_a_click_before_the_speech_is_not_its_onset() -> None:
    sound = np.full(40 * FRAME, 5, np.int16)
    sound[5 * FRAME : 5 * FRAME + 40] = 9000
    sound[12 * FRAME :] = 4000
    started = play([QUIET] * 14 + [SURE] * 26, sound)[0]
    assert isinstance(started, SpeechStarted) and started.onset_pts == 12 * FRAME


def test_noise_that_was_there_before_does_not_hold_the_end() -> None:
    rng = np.random.default_rng(2)
    sound = rng.normal(0, 300, 80 * FRAME)
    sound[20 * FRAME : 40 * FRAME] += rng.normal(0, 6000, 20 * FRAME)
    script = [QUIET] * 21 + [SURE] * 22 + [QUIET] * 37
    ended = play(script, np.clip(sound, -32768, 32767).astype(np.int16))[-1]
    assert isinstance(ended, SpeechEnded) and abs(ended.speech_end_pts - 40 * FRAME) <= 40


def test_preroll_begins_before_the_onset_and_stops_before_the_frame_just_pushed() -> None:
    segmenter = SpeechSegmenter(DEFAULTS, RATE)
    for index in range(200):
        voice = SURE if index == 199 else QUIET
        pcm = np.full(FRAME, 3000 if index == 199 else 3, np.int16)
        events = segmenter.push(AudioFrame(pcm, RATE, index * FRAME, index / 50), voice)
    assert kinds(events) == ["SpeechStarted"] and segmenter.speaking
    frames = segmenter.preroll()
    assert [frame.pts for frame in frames] == [index * FRAME for index in range(179, 199)]


def test_speech_from_the_very_first_sample() -> None:
    started = play([SURE])[0]
    assert isinstance(started, SpeechStarted) and started.onset_pts == 0


def test_a_stream_that_jumps_ahead_ends_the_segment() -> None:
    segmenter = SpeechSegmenter(DEFAULTS, RATE)
    loud = np.full(FRAME, 3000, np.int16)
    segmenter.push(AudioFrame(loud, RATE, 0, 0.02), SURE)
    later = AudioFrame(np.zeros(FRAME, np.int16), RATE, 80_000, 10.02)
    assert kinds(segmenter.push(later, QUIET)) == ["SpeechEnded"]


voices = st.lists(
    st.tuples(st.builds(Voice, st.booleans(), st.floats(0, 1)), st.sampled_from([0, 3, 300, 8000])),
    max_size=150,
)


@settings(max_examples=80, deadline=None)
@given(voices)
def test_events_always_alternate_and_edges_stay_in_order(script: list[tuple[Voice, int]]) -> None:
    sound = np.repeat(np.array([level for _, level in script], np.int16), FRAME)
    events = play([voice for voice, _ in script], sound)
    speaking = suspected = False
    end = 0
    for event in events:
        if isinstance(event, SpeechStarted):
            assert not speaking and 0 <= event.onset_pts < event.pts + FRAME
            assert event.onset_at <= event.at
            speaking, suspected = True, False
        elif isinstance(event, SpeechEnded):
            assert speaking and event.speech_end_pts >= end
            assert event.pts + FRAME - event.speech_end_pts >= DEFAULTS.hangover_ms * 8
            speaking, end = False, event.speech_end_pts
        elif isinstance(event, VoiceSuspected):
            assert not speaking and not suspected
            suspected = True
        else:
            assert not speaking and suspected
            suspected = False


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([QUIET, SURE]), st.integers(12, 40)), min_size=1, max_size=6))
def test_frames_of_half_the_length_move_no_edge_by_more_than_a_frame(runs: list[tuple[Voice, int]]) -> None:
    script = [voice for voice, count in runs for _ in range(count)]
    whole = play(script)
    halves = play([voice for voice in script for _ in range(2)], step=FRAME // 2)
    assert kinds(whole) == kinds(halves)
    for one, two in zip(whole, halves, strict=True):
        assert abs(one.pts - two.pts) <= FRAME
        if isinstance(one, SpeechStarted) and isinstance(two, SpeechStarted):
            assert abs(one.onset_pts - two.onset_pts) <= FRAME
        if isinstance(one, SpeechEnded) and isinstance(two, SpeechEnded):
            assert abs(one.speech_end_pts - two.speech_end_pts) <= FRAME
