"""Which words of the growing audio are shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.embedded.moonshine_interim import Agreement, Captions, InterimSettings
from engines.embedded.moonshine_tokens import SpokenWord


def spoken(text: str, confidence: float = 0.9) -> list[SpokenWord]:
    return [SpokenWord(word, confidence) for word in text.split()]


def fold(*passes: str) -> Agreement:
    agreement = Agreement(InterimSettings())
    for text in passes:
        agreement.offer(spoken(text), 0.9)
    return agreement


@pytest.mark.parametrize(
    ("passes", "shown"),
    [
        (["please"], ""),
        (["please en", "please enter"], "please"),
        (["Please enter", "please, enter your"], "please, enter"),
        (["one two three.", "one two three. Four"], "one two three"),
        (["one two", "one too", "one two"], "one"),
        (["one two", "one two", "one"], "one two"),
        (["one two", "one two", "won to", "won to three"], "won to"),
    ],
)
def test_words_on_which_two_passes_in_a_row_agree_are_shown(passes: list[str], shown: str) -> None:
    assert " ".join(fold(*passes).words) == shown


def test_a_third_pass_fixes_all_but_the_last_word() -> None:
    agreement = fold("one two three", "one two three", "one two three four")
    assert agreement.fixed == 2
    agreement.offer(spoken("no nothing like that"), 0.9)
    agreement.offer(spoken("no nothing like that"), 0.9)
    assert agreement.words[:2] == ("one", "two")


def test_a_doubtful_pass_is_not_heard() -> None:
    agreement = fold("one two")
    assert not agreement.offer(spoken("one two three"), 0.3)
    assert agreement.words == ()


def test_nothing_after_a_doubtful_word_is_heard() -> None:
    agreement = Agreement(InterimSettings())
    for _ in range(2):
        agreement.offer([*spoken("one two"), *spoken("tree", 0.2), *spoken("four")], 0.8)
    assert agreement.words == ("one", "two")


def test_taken_back_words_are_counted() -> None:
    assert fold("one two", "one two", "one too", "one too").revisions == 1


WORDS = st.sampled_from("one two three four".split())
TEXTS = st.lists(st.lists(WORDS, max_size=6).map(" ".join), max_size=12)


@given(TEXTS, st.integers(0, 11))
def test_what_was_promised_is_never_taken_back(passes: list[str], cut: int) -> None:
    captions = Captions(InterimSettings())
    promised, known = "", list[str]()
    for number, text in enumerate(passes):
        if number == cut:
            captions.next_piece()
            known = ["five", "six"]
        captions.offer(spoken(text), 0.9)
        if composed := captions.compose(known):
            shown, stable = composed
            assert shown.startswith(promised)
            assert stable >= len(promised)
            promised = shown[:stable]


def test_words_of_finished_pieces_come_first() -> None:
    captions = Captions(InterimSettings())
    captions.offer(spoken("three four"), 0.9)
    captions.offer(spoken("three four five"), 0.9)
    assert captions.compose(["One", "two."]) == ("One two. three four", len("One two."))


def test_long_audio_is_listened_to_less_often() -> None:
    settings = InterimSettings(every=0.4, thinning=0.1)
    assert settings.next_pass(1.0) == pytest.approx(1.4)
    assert settings.next_pass(10.0) == pytest.approx(11.0)


@pytest.mark.parametrize("wrong", [{"thinning": 0.9}, {"every": 0.0}, {"first": 9.0}, {"confidence": 2.0}])
def test_settings_name_the_field(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        InterimSettings(**wrong)
