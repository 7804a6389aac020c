from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engines.text.stretches import as_written, plan

LONG = (
    "Thank you for calling Acme support, we are glad to help you with your order today, "
    "and if you would like to hear this again, press star, or stay on the line."
)


def test_each_sentence_is_one_stretch_with_the_pause_of_its_punctuation() -> None:
    stretches = plan("It is 5 p.m. already. Really? Fine, bye... no stop")
    assert [s.text for s in stretches] == ["It is five PM already.", "Really?", "Fine, bye… no stop."]
    stop, question, nothing = (s.pause for s in stretches)
    assert 0.15 <= stop < question <= 0.3
    assert nothing == stop


def test_a_swallowed_full_stop_still_asks_for_its_pause() -> None:
    (stretch,) = plan("We close at 5 p.m.")
    assert stretch.text == "We close at five PM."
    assert stretch.pause == plan("Yes.")[0].pause


def test_a_long_first_sentence_is_cut_at_its_first_clause_and_a_later_one_is_not() -> None:
    first, rest = plan(LONG)
    assert first.text == "Thank you for calling Acme support,"
    assert first.pause < 0.2
    assert rest.text.startswith("we are glad") and rest.text.endswith("line.")
    assert len(plan("Hello. " + LONG)) == 2


def test_nothing_to_say_is_no_stretch() -> None:
    assert plan("") == plan(" 😀 ") == plan("---\n***") == []


def test_other_languages_keep_their_letters_and_a_shorter_limit() -> None:
    text = "Grüße aus München, der Zug fährt um 6 Uhr ab. " * 3
    stretches = plan(text, as_written, 40)
    assert " ".join(w.written for s in stretches for w in s.words) == " ".join(text.split())
    assert all(len(s.text) <= 42 for s in stretches)
    assert plan("— … !", as_written) == []


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(["one", "two,", "45,", "three.", "$1,250.75", "x" * 30, "\n"]), max_size=200))
def test_stretches_are_bounded_and_lose_no_word(tokens: list[str]) -> None:
    stretches = plan(" ".join(tokens))
    written = " ".join(w.written for s in stretches for w in s.words)
    assert written == " ".join(" ".join(tokens).split())
    assert all(len(s.text) <= 230 and s.text[-1] in ".,;:!?…" and 0 < s.pause <= 0.35 for s in stretches)
