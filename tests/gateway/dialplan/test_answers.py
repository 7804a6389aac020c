"""What a caller answered: keys, words, digits spoken one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialplan.answers import Heard, digits, hints, longest_key, read_expected


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("One.", "1"), ("Number two, please", "2"), ("one two three", "123"), ("1 2 3.", "123"),
        ("12", "12"), ("oh four ate", "048"), ("Für eins drücken", ""), ("fünf null", "50"),
        ("uno dos", "12"), ("zéro six", "06"), ("star nine pound", "*9#"), ("two tickets", ""), ("", ""),
        ("please", ""),
    ],
)  # fmt: skip
def test_digits_that_are_spoken(said: str, number: str) -> None:
    assert digits(said) == number


@pytest.mark.parametrize(
    ("written", "yes", "no"),
    [
        ("1", [("1", True), ("one", False), ("Option one.", False)], [("11", True), ("one two", False)]),
        ("sales", [("Sales, please!", False), ("SALES", False)], [("salesman", False), ("sales", True)]),
        ("2, support, technical help",
         [("2", True), ("I need technical help now", False), ("the support", False)],
         [("help", False), ("technical", False), ("3", True)]),
        ("/2[0-9]{3}/", [("2123", True)], [("123", True), ("two one two three", False)]),
        ("/.*invoice.*/", [("It's about my Invoice.", False)], [("bill", False)]),
        ("*", [("", True), ("anything", False)], []),
        ("*9#", [("*9#", True)], [("9", True)]),
    ],
)  # fmt: skip
def test_expected_answers(written: str, yes: list[tuple[str, bool]], no: list[tuple[str, bool]]) -> None:
    expected = read_expected(written)
    assert [answer for answer in yes if not expected.fits(Heard(*answer))] == []
    assert [answer for answer in no if expected.fits(Heard(*answer))] == []


@pytest.mark.parametrize("written", ["", " , ", "1,,2", "!", "/(a+)+/", "/[/"])
def test_what_is_no_answer_is_refused_with_the_cure(written: str) -> None:
    with pytest.raises(ValueError, match="; "):
        read_expected(written)


def test_a_recogniser_is_told_the_words_and_a_menu_the_longest_key() -> None:
    found = [read_expected("1, sales"), read_expected("22, Technical Help"), read_expected("/x/")]
    assert hints(found) == ("sales", "technical help")
    assert longest_key(found) == 2 and longest_key([]) == 0


@given(st.text(max_size=60), st.text(max_size=300), st.booleans())
def test_no_answer_raises_anything(written: str, said: str, keyed: bool) -> None:
    try:
        expected = read_expected(written)
    except ValueError:
        return
    assert expected.fits(Heard(said, keyed)) in (True, False)
