from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engines.base import SpeechChunk, Word
from engines.router.passage import Passage

RATE = 8000
WORD = 0.2

texts = st.lists(
    st.sampled_from(["one", "two,", "a", '"quoted"', "o'clock", "end.", "(so)", "42", "two"]),
    min_size=1,
    max_size=12,
)


def spoken(text: str, piece: int, timed: bool = True) -> list[SpeechChunk]:
    """A voice that takes a fifth of a second for each word, in pieces."""
    said = text.split()
    words = tuple(Word(word, n * WORD, (n + 1) * WORD, 1.0) for n, word in enumerate(said))
    pcm = np.ones(round(len(said) * WORD * RATE), np.int16)
    return [
        SpeechChunk(pcm[at : at + piece], words if timed and not at else ())
        for at in range(0, len(pcm), piece)
    ]


def test_a_begun_word_waits_for_its_end() -> None:
    passage = Passage("one two three", RATE)
    first, second, third = spoken("one two three", 2000)
    assert len(passage.take(first).pcm) == 2000, "the first sound is not held back"
    assert len(passage.take(second).pcm) == 1200 and passage.given == 3200, "up to the end of `two`"
    assert passage.rest() == "three"
    assert len(passage.take(third).pcm) == 1600


def test_the_next_voice_begins_with_the_word_that_was_cut() -> None:
    passage = Passage("one  two\nthree", RATE)
    passage.take(spoken("one two three", 2000)[0])
    assert passage.rest() == "two three"
    passage.hand_over()
    (chunk,) = spoken("two three", 99999)
    given = passage.take(chunk)
    assert [(word.text, round(word.start, 3)) for word in given.words] == [("two", 0.25), ("three", 0.45)]
    assert passage.rest() == ""


def test_the_old_voice_ends_softly() -> None:
    passage = Passage("one two three", RATE)
    for chunk in spoken("one two three", 1000)[:3]:
        passage.take(chunk)
    tail = passage.hand_over()
    assert 0 < len(tail) <= 40 and tail[-1] == 0


def test_figures_read_as_several_words_are_said_again_rather_than_lost() -> None:
    passage = Passage("take 42 or 43 now", RATE)
    words = tuple(
        Word(word, n * 0.1, (n + 1) * 0.1, 1.0)
        for n, word in enumerate(["take", "forty", "two", "or", "forty", "three", "now"])
    )
    passage.take(SpeechChunk(np.ones(2400, np.int16), words))
    assert passage.rest() == "or 43 now"
    passage.take(SpeechChunk(np.ones(1600, np.int16)))
    assert passage.rest() == "43 now"


def test_without_word_times_the_sound_is_spread_over_the_letters() -> None:
    passage = Passage("one two three four", RATE)
    passage.take(SpeechChunk(np.ones(RATE // 2, np.int16)))
    assert passage.rest(tempo=15.0) == "two three four", "6.75 of the letters, `two` ends with the seventh"
    assert passage.rest(tempo=16.0) == "three four"
    assert passage.rest(tempo=100.0) == ""


@given(texts, st.lists(st.tuples(st.integers(200, 6000), st.integers(1, 12)), max_size=4), st.data())
def test_no_word_is_lost_and_only_a_cut_first_word_is_said_twice(
    said: list[str], runs: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Whatever voices speak, however their sound is cut, wherever they stop."""
    passage = Passage(" ".join(said), RATE)
    heard: list[str] = []
    for piece, stops in runs:
        text = passage.rest()
        if not text:
            break
        before = passage.given
        for chunk in spoken(text, piece)[:stops]:
            passage.take(chunk)
        whole = round((passage.given - before) / RATE / WORD - 0.5 + 1e-9)
        heard += text.split()[: max(0, whole)]
        passage.hand_over()
    heard += passage.rest().split()
    assert heard == said


@given(texts, st.integers(200, 6000), st.integers(0, 20), st.floats(5, 30))
def test_a_guess_never_goes_back_and_stays_within_the_text(
    said: list[str], piece: int, stops: int, tempo: float
) -> None:
    passage = Passage(" ".join(said), RATE)
    left = passage.rest(tempo)
    for chunk in spoken(" ".join(said), piece, timed=False)[:stops]:
        passage.take(chunk)
        assert left.endswith(rest := passage.rest(tempo))
        left = rest
