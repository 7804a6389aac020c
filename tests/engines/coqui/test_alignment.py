from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engines.coqui.alignment import owners


def told(words: str, symbols: str) -> str:
    """The word's number under each symbol."""
    return "".join("." if owner < 0 else str(owner) for owner in owners(words.split(), symbols))


def test_one_group_for_each_word() -> None:
    assert told("hello there friend", "həlˈəʊ ðˈeə fɹˈɛnd.") == "000000.1111.222222."


def test_joined_words_share_their_group_by_their_letters() -> None:
    assert told("out of the house", "ˈaʊɾəvðə hˈaʊs") == "00011222.33333"


def test_a_word_in_several_groups_owns_all_of_them() -> None:
    assert told("the organisation now", "ðə ɔːɡ ənaɪz eɪʃən naʊ") == "00.111.11111.11111.222"


def test_nothing_is_nobodys() -> None:
    assert owners([], "") == []
    assert owners([], "...") == [-1, -1, -1]
    assert owners(["a"], " ") == [-1]


words = st.lists(st.text("abcdefgh", min_size=1, max_size=9), max_size=12)


@given(words, st.text("aəʊˈɛ .,", max_size=60))
def test_owners_never_go_back_and_blanks_are_nobodys(written: list[str], symbols: str) -> None:
    found = owners(written, symbols)
    assert len(found) == len(symbols)
    named = [owner for owner in found if owner >= 0]
    assert named == sorted(named) and set(named) <= set(range(len(written)))
    assert all(owner < 0 for owner, symbol in zip(found, symbols, strict=True) if symbol in " .,")
