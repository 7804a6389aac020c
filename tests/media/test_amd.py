"""Who answered: synthetic greetings, recorded speech, beeps and a fax."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.amd import AmdSettings, Answerer, AnswerJudge, Verdict
from media.beep import Tone, ToneEar, is_beep, is_fax, single_tone
from media.frame import AudioFrame, Pcm, Voice
from media.tones import beep, comfort_noise, dtmf, silence, tone
from media.vad import VadSettings, open_detector
from media.wav import read_mono

RATE = 8000
SPEECH = Path(__file__).resolve().parents[1] / "data" / "speech"
PROMPTS = sorted(SPEECH.rglob("*.wav"))


def frames(pcm: Pcm) -> Iterator[AudioFrame]:
    for pts in range(0, len(pcm) - 159, 160):
        yield AudioFrame(pcm[pts : pts + 160], RATE, pts, pts / RATE)


def heard(pcm: Pcm, settings: AmdSettings | None = None) -> AnswerJudge:
    """Judged with the voice detector of real calls."""
    judge, detector = AnswerJudge(settings or AmdSettings()), open_detector(VadSettings())
    for frame in frames(pcm):
        (voice,) = detector.judge([0], frame.pcm[None, :], [160], [RATE])
        judge.hear(frame, voice)
    return judge


def scripted(spans: Sequence[tuple[float, float]], seconds: float) -> AnswerJudge:
    """Voice in these spans and silence else, without a detector."""
    judge = AnswerJudge(AmdSettings())
    for frame in frames(silence(seconds, RATE)):
        voiced = any(start <= frame.media_time < end for start, end in spans)
        judge.hear(frame, Voice(voiced, float(voiced)))
    return judge


def answerer(judge: AnswerJudge) -> tuple[str, str]:
    assert judge.verdict is not None
    return str(judge.verdict.answerer), judge.verdict.why


@pytest.mark.parametrize(
    ("spans", "verdict"),
    [
        ([(0.5, 1.0)], ("human", "greeting_short")),
        ([(0.5, 1.0), (1.4, 2.2)], ("human", "greeting_short")),
        ([(0.5, 4.0)], ("machine", "greeting_long")),
        ([(0.5, 1.5), (1.9, 3.5)], ("machine", "greeting_long")),
        ([(0.2 + n * 0.45, 0.4 + n * 0.45) for n in range(8)], ("machine", "stretches")),
        ([], ("unknown", "silence")),
        ([(0.5, 0.54)], ("unknown", "silence")),
    ],
)
def test_greetings(spans: list[tuple[float, float]], verdict: tuple[str, str]) -> None:
    assert answerer(scripted(spans, 12.0)) == verdict


def test_a_human_is_known_a_second_after_his_hello() -> None:
    verdict = scripted([(0.5, 1.0)], 12.0).verdict
    assert verdict is not None and verdict.seconds == pytest.approx(2.0, abs=0.05)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 14), st.floats(0, 14)), max_size=12))
def test_every_call_is_judged_once_and_in_time(spans: list[tuple[float, float]]) -> None:
    judge = AnswerJudge(AmdSettings())
    said: list[Verdict] = []
    for frame in frames(silence(13.0, RATE)):
        voiced = any(start <= frame.media_time < end for start, end in spans)
        judge.hear(frame, Voice(voiced, float(voiced)))
        if judge.verdict is not None and (not said or said[-1] is not judge.verdict):
            said.append(judge.verdict)
    (verdict,) = said
    assert verdict.seconds <= AmdSettings().limit + 0.02


@pytest.mark.parametrize("name", ["queue-youarenext.wav", "demo-thanks.wav", "agent-pass.wav"])
def test_recorded_greetings_of_machines_and_the_beep_after_them(name: str) -> None:
    speech = read_mono(SPEECH / name, RATE)
    line = np.concatenate([comfort_noise(0.6, RATE), speech, comfort_noise(0.3, RATE), beep(RATE, 0.4)])
    judge = heard(np.concatenate([line, comfort_noise(3.0, RATE)]))
    assert answerer(judge)[0] == Answerer.MACHINE
    assert judge.greeting_over is not None and judge.greeting_over.beep
    assert judge.greeting_over.seconds == pytest.approx(len(line) / RATE, abs=0.1)


@pytest.mark.parametrize("name", ["digits/1.wav", "digits/2.wav", "digits/9.wav"])
def test_a_word_and_silence_is_a_human(name: str) -> None:
    speech = read_mono(SPEECH / name, RATE)
    judge = heard(np.concatenate([comfort_noise(0.8, RATE), speech, comfort_noise(4.0, RATE)]))
    assert answerer(judge) == ("human", "greeting_short") and judge.greeting_over is None


def test_a_machine_that_never_beeps_is_over_when_it_falls_silent() -> None:
    judge = scripted([(0.5, 6.0)], 12.0)
    assert judge.greeting_over is not None and not judge.greeting_over.beep
    assert judge.greeting_over.seconds == pytest.approx(7.6, abs=0.1)


def test_a_machine_that_never_stops_is_over_at_the_limit() -> None:
    judge = scripted([(0.5, 60.0)], 40.0)
    assert judge.greeting_over is not None
    assert judge.greeting_over.seconds == pytest.approx(30.0, abs=0.1)


def test_a_fax() -> None:
    ced = tone((2100.0,), 3.0, RATE, -12.0)
    flipped = ced.copy()
    for start in range(3600, len(flipped), 7200):
        flipped[start : start + 3600] *= -1  # V.8: the phase jumps
    for sound in (ced, flipped):
        judge = heard(np.concatenate([comfort_noise(1.0, RATE), sound]))
        assert answerer(judge) == ("fax", "tone")


@pytest.mark.parametrize(
    ("hz", "seconds", "level"),
    [
        (1000, 0.2, -20),
        (440, 0.5, -10),
        (1400, 0.3, -30),
        (850, 0.2, -35),
        (620, 1.0, -15),
        (1975, 0.25, -18),
    ],
)
def test_beeps_of_many_kinds(hz: float, seconds: float, level: float) -> None:
    noise = comfort_noise(0.5, RATE, -52)
    line = np.concatenate([noise, tone((hz,), seconds, RATE, level), noise])
    ear, found = ToneEar(), []
    for frame in frames(line):
        if (one := ear.push(frame)) is not None and is_beep(one):
            found.append(one)
    (one,) = found
    assert one.hz == pytest.approx(hz, abs=10) and one.seconds == pytest.approx(seconds, abs=0.05)


@pytest.mark.parametrize("path", PROMPTS, ids=lambda path: path.name)
def test_speech_is_no_beep_and_no_fax(path: Path) -> None:
    ear = ToneEar()
    tones = [one for frame in frames(read_mono(path, RATE)) if (one := ear.push(frame)) is not None]
    assert not any(is_beep(one) or is_fax(one) for one in tones)


def test_keys_dial_tones_and_noise_are_no_single_tone() -> None:
    for pcm in (dtmf("5", RATE), tone((350.0, 440.0), 0.1, RATE), comfort_noise(0.1, RATE, -20)):
        assert single_tone(pcm[160:320], RATE) == 0.0
    assert not is_beep(Tone(425.0, 2.0, going_on=False)), "a network's ringing"


@pytest.mark.parametrize("field", ["silence_timeout", "speech_threshold", "limit", "beep_limit"])
def test_settings_name_the_field(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        AmdSettings(**{field: 0})
