"""Utterances as subtitles."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engines.base import Word
from gateway.api.core.listening import Heard
from gateway.api.openai.subtitles import MOST_LETTERS, MOST_SECONDS, Cue, cues, srt, vtt


def said(text: str, start: float = 0.0, each: float = 0.4) -> Heard:
    words = tuple(
        Word(word, start + number * each, start + (number + 1) * each, 0.9)
        for number, word in enumerate(text.split())
    )
    return Heard(1, text, words, 0.9, start, start + len(words) * each, is_final=True)


def test_short_utterances_are_one_cue() -> None:
    found = list(cues([said("Hello there."), said("Who is it?", 3725.5)]))
    assert srt(found) == (
        "1\n00:00:00,000 --> 00:00:00,800\nHello there.\n\n2\n01:02:05,500 --> 01:02:06,700\nWho is it?\n\n"
    )
    assert vtt(found).startswith("WEBVTT\n\n00:00:00.000 --> 00:00:00.800\nHello there.\n\n")


def test_long_ones_are_cut_after_punctuation() -> None:
    text = "one two three four five six seven eight, nine ten eleven twelve thirteen fourteen 15 16 17 18"
    assert [cue.text.split()[-1] for cue in cues([said(text)])] == ["eight,", "18"]


def test_markup_is_escaped() -> None:
    assert "a &lt;b&gt; &amp; c" in vtt([Cue(0, 1, "a <b> & c")])


def test_without_words_the_utterance_stays_whole() -> None:
    assert list(cues([Heard(1, "x", (), 1.0, 1.0, 2.0, is_final=True)])) == [Cue(1.0, 2.0, "x")]


@given(st.lists(st.text("ab,.", min_size=1, max_size=30), min_size=1, max_size=60), st.floats(0.01, 9))
def test_nothing_is_lost_and_no_cue_is_too_long(words: list[str], each: float) -> None:
    heard = said(" ".join(words), each=each)
    found = list(cues([heard]))
    assert " ".join(cue.text for cue in found) == " ".join(heard.text.split())
    for cue in found:
        alone = " " not in cue.text
        assert alone or (len(cue.text) <= MOST_LETTERS and cue.end - cue.start <= MOST_SECONDS + 1e-6)
    assert all(one.end <= two.start + 1e-6 for one, two in zip(found, found[1:], strict=False))
