from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.base import Word
from gateway.calls.heard import HeardTracker
from media.frame import Pcm

RATE = 8000


def hum(samples: int) -> Pcm:
    """So many samples of something that is no silence."""
    return np.full(samples, 1000, np.int16)


def spoken(tracker: HeardTracker, text: str, index: int | None, *, timed: bool = True) -> None:
    """A tenth of a second per word."""
    words = text.split()
    tracker.begin(text, index)
    if timed:
        tracker.words(tuple(Word(word, n / 10, (n + 1) / 10, 1.0) for n, word in enumerate(words)))
    tracker.wrote(hum(len(words) * RATE // 10))
    tracker.end()


def test_whole_sentences_and_the_cut_word() -> None:
    tracker = HeardTracker(RATE)
    spoken(tracker, "One two three.", 0)
    spoken(tracker, "Four five six.", 1)
    assert tracker.at(0).text == ""
    assert tracker.at(2400).text == "One two three." and tracker.at(2400).next_index == 1
    assert tracker.at(2400 + 1599).text == "One two three. Four"
    assert tracker.at(2400 + 1600).text == "One two three. Four five"
    assert tracker.at(4800).text == "One two three. Four five six." and tracker.at(4800).next_index == 2


def test_without_word_times_the_letters_tell() -> None:
    tracker = HeardTracker(RATE)
    spoken(tracker, "One two three four.", 0, timed=False)
    assert tracker.at(1700).text == "One two"


def test_without_word_times_a_pause_belongs_to_its_comma() -> None:
    """Half a second of silence after "Monday,": whoever was cut in it had heard just that word."""
    tracker = HeardTracker(RATE)
    tracker.begin("Monday, perhaps on Tuesday morning.", 0)
    for pcm in (hum(3200), np.zeros(4000, np.int16), hum(12800)):
        tracker.wrote(pcm)
    tracker.end()
    assert tracker.at(3200 + 200).text == tracker.at(3200 + 3900).text == "Monday,"
    assert tracker.at(3200 + 4000 + 4400).text.startswith("Monday, perhaps")


def test_without_word_times_a_sentence_that_is_still_being_made_goes_by_the_voices_pace() -> None:
    """The first sentence took 0.5 s a word: half of the second one's sound is not taken for all of it."""
    tracker = HeardTracker(RATE)
    tracker.begin("alpha bravo alpha bravo", 0)
    tracker.wrote(hum(4 * 4000))
    tracker.end()
    tracker.begin("alpha bravo alpha bravo alpha bravo alpha bravo", 1)
    tracker.wrote(hum(4 * 4000))
    assert tracker.at(6 * 4000 + 400).text.endswith("bravo alpha bravo")
    assert len(tracker.at(8 * 4000).text.split()) == 8


def test_a_voice_that_reads_a_number_as_several_words_is_counted_by_fraction() -> None:
    tracker = HeardTracker(RATE)
    tracker.begin("Room 42 please", 0)
    said = "room forty two please".split()
    tracker.words(tuple(Word(word, n / 10, (n + 1) / 10, 1.0) for n, word in enumerate(said)))
    tracker.wrote(hum(3200))
    tracker.end()
    assert tracker.at(1600).text == "Room"
    assert tracker.at(3199).text == "Room 42"


def test_a_filler_takes_time_but_was_not_said_by_the_agent() -> None:
    tracker = HeardTracker(RATE)
    spoken(tracker, "One moment.", None)
    spoken(tracker, "Here it is.", 0)
    assert tracker.at(1600).text == ""
    assert tracker.at(1600 + 1600).text == "Here it"


def test_a_sentence_that_broke_off_is_not_whole() -> None:
    tracker = HeardTracker(RATE, first_index=3)
    tracker.begin("One two three four", 3)
    tracker.words(tuple(Word(str(n), n / 10, (n + 1) / 10, 1.0) for n in range(4)))
    tracker.wrote(hum(1600))
    assert tracker.at(1600).text == "One two" and tracker.at(1600).next_index == 3


words = st.lists(st.sampled_from("a bc def".split()), min_size=1, max_size=6)


@settings(deadline=None)
@given(st.lists(words, max_size=5), st.booleans())
def test_more_sound_is_never_less_text(sentences: list[list[str]], timed: bool) -> None:
    tracker = HeardTracker(RATE)
    for index, words in enumerate(sentences):
        spoken(tracker, " ".join(words), index, timed=timed)
    texts = [tracker.at(position).text for position in range(0, tracker.written + 1, 100)]
    assert all(later.startswith(earlier) for earlier, later in zip(texts, texts[1:], strict=False))
    assert tracker.at(tracker.written).text == " ".join(" ".join(words) for words in sentences)
