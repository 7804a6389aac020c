"""Transcripts to messages and back."""

from __future__ import annotations

import math

import pytest

from engines.base import Transcript, Word
from engines.riva.asr_reply import Manner, joined, plain, read_alternative, shifted, streaming_result
from engines.riva.wire import asr_pb2

WRITTEN = Manner(word_times=True, punctuation=True, language="en-US")
SPOKEN = Manner(word_times=False, punctuation=False, language="en-US")
WORDS = (Word("Don't", 0.1, 0.4, 0.5), Word("panic!", 0.4, 0.9, 0.75))


def test_a_final_carries_words_on_the_streams_clock() -> None:
    final = Transcript(3, "Don't panic!", True, 0.75, 12, WORDS)
    result = streaming_result(final, WRITTEN, begins=2.0, processed=4.5)
    assert result.is_final and result.stability == 0.0 and result.audio_processed == 4.5
    assert [(w.word, w.start_time, w.end_time) for w in result.alternatives[0].words] == [
        ("Don't", 2100, 2400),
        ("panic!", 2400, 2900),
    ]
    text, words, confidence = read_alternative(result)
    assert (text, confidence) == ("Don't panic!", 0.75)
    assert words[0] == Word("Don't", 2.1, 2.4, 0.5)


def test_without_punctuation_and_times_when_nobody_asks_for_them() -> None:
    result = streaming_result(Transcript(1, "Don't panic!", True, 0.75, 12, WORDS), SPOKEN, 0.0, 1.0)
    assert result.alternatives[0].transcript == "don't panic"
    assert not result.alternatives[0].words
    assert plain("“Well… – it's 3.5, A.M.!”") == "well it's 3.5 a.m"


@pytest.mark.parametrize("stable", [0, 5, 11, 12])
def test_stability_tells_how_much_will_stay(stable: int) -> None:
    result = streaming_result(Transcript(1, "Don't panic!", False, stable_chars=stable), WRITTEN, 0.0, 1.0)
    assert round(result.stability * 12) == stable
    assert result.stability < 1.0


def test_only_an_early_transcript_is_wholly_stable() -> None:
    early = streaming_result(Transcript(1, "Yes.", False, early=True), WRITTEN, 0.0, 1.0)
    assert early.stability == 1.0 and not early.is_final


def test_finals_are_joined_by_weight() -> None:
    first = Transcript(1, "Yes.", True, 1.0, words=(Word("Yes.", 0.0, 0.2, 1.0),))
    second = shifted(Transcript(2, "No.", True, 0.3, words=(Word("No.", 0.0, 0.2, 1.0),)), 3.0)
    whole = joined([first, Transcript(4, "", True, 0.0), second])
    assert whole.text == "Yes. No."
    assert whole.confidence == pytest.approx((4 + 0.9) / 7)
    assert [word.start for word in whole.words] == [0.0, 3.0]
    assert joined([]).text == ""


def test_other_servers_confidences_are_understood() -> None:
    def read(confidence: float) -> float:
        best = asr_pb2.SpeechRecognitionAlternative(transcript=" so ", confidence=confidence)
        return read_alternative(asr_pb2.StreamingRecognitionResult(alternatives=[best]))[2]

    assert read(0.0) == 1.0
    assert read(-0.5) == pytest.approx(math.exp(-0.5))
    assert read(7.0) == 1.0
    assert read_alternative(asr_pb2.StreamingRecognitionResult()) == ("", (), 1.0)
