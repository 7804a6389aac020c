"""Pieces into words."""

from __future__ import annotations

import pytest

from engines.nemo.words import Script, Token, Vocabulary

PIECES = ("<unk>", "▁", "▁hel", "lo", "▁world", ".", "▁.", "'s", "3", "<EOU>", "▁3")


def written(*tokens: tuple[str, int], pieces: tuple[str, ...] = PIECES) -> Script:
    script = Script(Vocabulary.of(pieces), 0.08)
    script.add(Token(pieces.index(piece), frame, 0.5) for piece, frame in tokens)
    return script


def test_pieces_make_words_with_times_and_confidence() -> None:
    heard = written(("▁hel", 2), ("lo", 4), ("▁world", 9), (".", 12)).transcript(7, is_final=True)
    assert (heard.segment, heard.text, heard.stable_chars) == (7, "hello world.", 12)
    assert [(word.text, round(word.start, 2), round(word.end, 2)) for word in heard.words] == [
        ("hello", 0.16, 0.40),
        ("world.", 0.72, 0.80),
    ]
    assert heard.confidence == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (("▁", "▁hel", "lo"), "hello"),
        (("▁world", "▁."), "world."),
        (("<unk>", "▁world", "<EOU>", "'s"), "world's"),
        (("▁3", ".", "3"), "3.3"),
        (("lo",), "lo"),
        (("<EOU>",), ""),
    ],
)
def test_odd_pieces(pieces: tuple[str, ...], text: str) -> None:
    script = written(*((piece, place) for place, piece in enumerate(pieces)))
    assert script.transcript(0, is_final=True).text == text


def test_an_interims_words_but_the_last_are_stable() -> None:
    script = written(("▁world", 1), ("▁hel", 3))
    heard = script.transcript(0, is_final=False)
    assert heard.text[: heard.stable_chars] == "world"
    longer = script.with_more([Token(PIECES.index("lo"), 5, 1.0)])
    assert longer.transcript(0, is_final=False).text == "world hello"
    assert script.transcript(0, is_final=False) == heard


def test_word_pieces_and_letters() -> None:
    pieces = ("[UNK]", "hel", "##lo", "world")
    assert written(("hel", 0), ("##lo", 1), ("world", 2), pieces=pieces).transcript(
        0, is_final=True
    ).text == ("hello world")
    letters = (" ", "a", "b")
    assert written(("a", 0), ("b", 1), (" ", 2), ("a", 3), pieces=letters).transcript(
        0, is_final=True
    ).text == ("ab a")


def test_punctuation_is_told_from_the_vocabulary() -> None:
    assert Vocabulary.of(PIECES).punctuated and not Vocabulary.of(("▁a", "b")).punctuated
