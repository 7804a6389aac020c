"""What counts as the same words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.wer import distance, normalise, word_errors

WORDS = st.lists(st.sampled_from("one two three four".split()), max_size=8)


@pytest.mark.parametrize(
    ("written", "heard"),
    [
        ("Press 7 to re-enter.", "press seven to reenter"),
        ("It's $45.20!", "it is forty five dollars and twenty cents"),
        ("the 23rd", "the twenty third"),
        ("the 20th and 12th", "the twentieth and twelfth"),
        ("1,250 e-mails", "one thousand two hundred fifty emails"),
        ("voice mail #1", "voicemail pound one"),
        ("PIN 0042", "pin zero zero four two"),
        ("call 18005550199", "call one eight zero zero five five five zero one nine nine"),
        ("3.5 percent", "three point five %"),
        ("You’re cannot", "you are can not"),
        ("105", "one hundred five"),
        ("", ""),
    ],
)
def test_the_same_words_in_other_writing(written: str, heard: str) -> None:
    assert normalise(written) == normalise(heard)
    assert word_errors(written, heard)[0] == 0


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors", "words"),
    [
        ("press one now", "press one", 1, 3),
        ("press one", "press one now please", 2, 2),
        ("press one now", "press nine now", 1, 3),
        ("four", "", 1, 1),
        ("", "you", 1, 0),
    ],
)
def test_errors_are_counted_in_words(reference: str, hypothesis: str, errors: int, words: int) -> None:
    assert word_errors(reference, hypothesis) == (errors, words)


@given(WORDS, WORDS)
def test_distance_is_a_distance(one: list[str], other: list[str]) -> None:
    between = distance(one, other)
    assert between == distance(other, one)
    assert (between == 0) == (one == other)
    assert abs(len(one) - len(other)) <= between <= max(len(one), len(other))
