from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.dtmf import (
    DIGITS,
    Collected,
    CollectEnd,
    CollectSettings,
    DigitCollector,
    DtmfDetector,
    DtmfSettings,
    is_digit,
    parse_digits,
)
from media.frame import Pcm
from media.tones import comfort_noise, dtmf, ringback, silence, tone

SPEECH = sorted((Path(__file__).parents[1] / "data" / "speech").glob("*.wav"))


def press(digit: str, rate: int, level: float, noise: float, seconds: float = 0.06, lead: int = 173) -> Pcm:
    clean = np.concatenate([np.zeros(lead, np.int16), dtmf(digit, rate, seconds, level), silence(0.1, rate)])
    hiss = comfort_noise(len(clean) / rate, rate, noise, seed=lead)
    noisy: Pcm = np.clip(clean.astype(np.int32) + hiss, -32768, 32767).astype(np.int16)
    return noisy


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("level", [-10, -20, -30])
def test_every_key_is_heard_once_over_noise(rate: int, level: int) -> None:
    for lead, digit in enumerate(DIGITS):
        pcm = press(digit, rate, level, level - 15, lead=100 + 17 * lead)
        assert DtmfDetector(rate).push(pcm) == digit


@given(st.text(DIGITS, min_size=1, max_size=8), st.integers(1, 700))
def test_any_chunking_hears_the_same_keys(digits: str, step: int) -> None:
    pcm = np.concatenate([press(d, 8000, -15, -60) for d in digits])
    detector = DtmfDetector(8000)
    heard = "".join(detector.push(pcm[i : i + step]) for i in range(0, len(pcm), step))
    assert heard == digits


def test_a_long_press_with_a_dropout_is_one_digit_and_two_presses_are_two() -> None:
    held = dtmf("5", 8000, 0.5)
    held[1600:1720] = 0
    assert DtmfDetector(8000).push(np.concatenate([held, silence(0.1, 8000)])) == "5"
    twice = np.concatenate([dtmf("5", 8000, 0.08), silence(0.06, 8000)] * 2)
    assert DtmfDetector(8000).push(twice) == "55"


def test_frequencies_may_be_off_by_one_and_a_half_percent_but_not_by_four() -> None:
    def off(share: float) -> Pcm:
        return tone((770 * (1 + share), 1336 * (1 + share)), 0.1, 8000, -15)

    assert DtmfDetector(8000).push(off(0.015)) == "5"
    assert DtmfDetector(8000).push(off(-0.015)) == "5"
    assert DtmfDetector(8000).push(off(0.04)) == ""


def test_short_weak_twisted_and_single_tones_are_no_keys() -> None:
    rate = 8000
    for pcm in (
        dtmf("1", rate, 0.02),
        dtmf("1", rate, 0.2, -45),
        tone((697,), 0.2, rate),
        (tone((697,), 0.2, rate, -10).astype(np.int32) + tone((1209,), 0.2, rate, -25)).astype(np.int16),
        ringback(rate),
        comfort_noise(2.0, rate, -20),
    ):
        assert DtmfDetector(rate).push(np.concatenate([pcm, silence(0.1, rate)])) == ""


@pytest.mark.skipif(not SPEECH, reason="no recorded speech in tests/data/speech")
def test_recorded_voices_press_no_keys() -> None:
    for path in SPEECH:
        with wave.open(str(path)) as recording:
            pcm = np.frombuffer(recording.readframes(recording.getnframes()), np.int16)
            assert DtmfDetector(recording.getframerate()).push(pcm) == "", path.name


def test_bad_settings_name_the_field() -> None:
    with pytest.raises(ValueError, match=r"dtmf\.purity is 2.*0\.3 to 1"):
        DtmfSettings(purity=2)


def test_digits_are_checked_and_parsed() -> None:
    assert all(is_digit(d) for d in DIGITS)
    assert not any(is_digit(d) for d in ("", "a", "12", "E", 5, None, "٣"))
    assert parse_digits("12-34 5a.#") == "12345A#"
    with pytest.raises(ValueError, match="'X' is not a telephone key"):
        parse_digits("12x")


def test_collector_ends_by_count_terminator_or_silence() -> None:
    settings = CollectSettings(max_digits=3, first_digit=5, inter_digit=2)
    full = DigitCollector(settings, 0.0)
    assert [full.handle(d, 1.0) for d in "12"] == [None, None]
    assert full.handle("3", 1.5) == Collected("123", CollectEnd.COMPLETE)
    assert full.handle("4", 1.6) is None and full.digits == "123" and full.next_timeout() is None

    ended = DigitCollector(settings, 0.0)
    ended.handle("9", 1.0)
    assert ended.handle("#", 1.1) == Collected("9", CollectEnd.TERMINATED)

    quiet = DigitCollector(settings, 10.0)
    assert quiet.next_timeout() == 15.0 and quiet.handle_timeout(14.9) is None
    quiet.handle("7", 14.9)
    assert quiet.next_timeout() == pytest.approx(16.9) and quiet.handle_timeout(15.0) is None
    assert quiet.handle_timeout(16.9) == Collected("7", CollectEnd.TIMED_OUT)
    assert quiet.handle_timeout(99.0) is None


def test_collector_refuses_what_is_no_key_and_bad_settings() -> None:
    with pytest.raises(ValueError, match="not a telephone key"):
        DigitCollector(CollectSettings(), 0.0).handle("x", 0.0)
    with pytest.raises(ValueError, match="max_digits"):
        CollectSettings(max_digits=0)
    with pytest.raises(ValueError, match="terminator"):
        CollectSettings(terminator="x")
    with pytest.raises(ValueError, match="first_digit"):
        CollectSettings(first_digit=0.0)
    with pytest.raises(ValueError, match="inter_digit"):
        CollectSettings(inter_digit=-1.0)
