"""Which words are believed, and which sounds are a voice."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from engines.embedded.moonshine_guard import (
    SILENT,
    Doubt,
    Evidence,
    GuardSettings,
    doubt_of,
    evidence_in,
    loops,
    plain_words,
)
from media import tones
from media.frame import Pcm

RATE = 8000
SPEECH = Path("tests/data/speech")
VOICE = Evidence(-12.0, 1.0, 0.7)
SHORT = Evidence(-12.0, 0.2, 0.16)
NOISE = Evidence(-20.0, 1.0, 0.02)


def recorded(name: str) -> Pcm:
    with wave.open(str(SPEECH / name)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def cough() -> Pcm:
    rng = np.random.default_rng(3)
    sound = np.zeros(RATE)
    for start in (1600, 4400):
        sound[start : start + 1800] = rng.standard_normal(1800) * np.hanning(3600)[1800:] * 6000
    return sound.astype(np.int16)


def clicks() -> Pcm:
    sound = np.zeros(2 * RATE, np.int16)
    sound[[3000, 7000, 7400, 12000]] = 20000
    return sound


def key(digit: str) -> Pcm:
    gap = tones.silence(0.3, RATE)
    return np.concatenate([gap, tones.dtmf(digit, RATE, 0.12), gap])


SOUNDS = {
    "silence": tones.silence(2.0, RATE),
    "noise": tones.comfort_noise(2.0, RATE, -30.0),
    "ringback": tones.ringback(RATE),
    "busy": np.concatenate([tones.tone((480.0, 620.0), 0.5, RATE), tones.silence(0.5, RATE)] * 2),
    "hum": tones.tone((60.0, 120.0, 180.0), 2.0, RATE),
    "beep": tones.beep(RATE),
    "cough": cough(),
    "clicks": clicks(),
    **{f"key {digit}": key(digit) for digit in "0159#*"},
}


@pytest.mark.parametrize("name", SOUNDS)
def test_no_voice_in_sounds_of_the_line(name: str) -> None:
    assert evidence_in(SOUNDS[name], RATE).voiced < GuardSettings().min_voiced


@pytest.mark.parametrize("level", [1.0, 0.03])
@pytest.mark.parametrize("name", ["digits/1.wav", "digits/2.wav", "digits/9.wav", "vm-prev.wav"])
def test_a_voice_in_speech_loud_and_soft(name: str, level: float) -> None:
    pcm = (recorded(name) * level).astype(np.int16)
    evidence = evidence_in(pcm, RATE)
    assert evidence.voiced > 2 * GuardSettings().min_voiced
    assert evidence.level > GuardSettings().min_level


def test_the_rate_does_not_matter() -> None:
    wide = np.repeat(recorded("vm-prev.wav"), 2)
    assert evidence_in(wide, 2 * RATE) == evidence_in(recorded("vm-prev.wav"), RATE)


def test_too_little_sound_is_silence() -> None:
    assert evidence_in(np.zeros(100, np.int16), RATE) is SILENT


@pytest.mark.parametrize(
    ("text", "confidence", "evidence", "doubt"),
    [
        ("Yes.", 0.9, SHORT, None),
        ("No.", 0.6, SHORT, None),
        ("Seven.", 0.55, SHORT, None),
        ("Thank you.", 0.9, VOICE, None),
        ("Thank you.", 0.55, VOICE, Doubt.INVENTED),
        ("Thank you.", 0.9, NOISE, Doubt.NO_VOICE),
        ("You", 0.9, VOICE, Doubt.INVENTED),
        ("Thank you for watching!", 0.95, VOICE, Doubt.INVENTED),
        ("Thank you for holding.", 0.95, VOICE, None),
        ("♪♪♪", 0.9, VOICE, Doubt.NOTES),
        ("...", 0.9, VOICE, Doubt.NOTES),
        ("Uh", 0.5, VOICE, Doubt.INVENTED),
        ("Mhm.", 0.8, VOICE, None),
        ("Call me", 0.3, VOICE, Doubt.UNSURE),
        ("of a game of a game of a game", 0.9, VOICE, Doubt.LOOP),
        ("I would like a room.", 0.9, NOISE, None),
        ("I would like a room.", 0.7, NOISE, Doubt.NO_VOICE),
        ("Hello there.", 0.9, Evidence(-70.0, 1.0, 0.7), Doubt.SILENCE),
    ],
)
def test_what_is_believed(text: str, confidence: float, evidence: Evidence, doubt: Doubt | None) -> None:
    assert doubt_of(text, confidence, evidence, GuardSettings()) is doubt


@pytest.mark.parametrize(
    ("text", "stuck"),
    [
        ("v v v v v", True),
        ("no no no", False),
        ("seven seven seven seven seven", False),
        ("5 5 5 5 5 5", False),
        ("the call the call the call", True),
        ("the call the call", False),
        ("", False),
    ],
)
def test_loops(text: str, stuck: bool) -> None:
    assert loops(plain_words(text)) is stuck


@pytest.mark.parametrize("wrong", [{"min_confidence": 1.5}, {"min_voiced": -1.0}, {"min_level": 3.0}])
def test_settings_name_the_field(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GuardSettings(**wrong)
