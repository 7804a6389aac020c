from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.text import SentenceSplitter

CASES = [
    ("Hello there. How are you?", ["Hello there.", "How are you?"]),
    ("Dr. Smith is in at 3 p.m. today. Please wait.", ["Dr. Smith is in at 3 p.m. today.", "Please wait."]),
    ("We open at 9 a.m. Please call then.", ["We open at 9 a.m.", "Please call then."]),
    ("It costs 3.50 or 4.5. That is all.", ["It costs 3.50 or 4.5.", "That is all."]),
    ("Well... maybe. Or… not! Sure?", ["Well... maybe.", "Or… not!", "Sure?"]),
    ("See www.example.com/a.b. Then call.", ["See www.example.com/a.b.", "Then call."]),
    ("Options:\n- one\n- two\n\nPick.", ["Options:", "- one", "- two", "Pick."]),
    ("1. Open it. 2. Close it.", ["1. Open it.", "2. Close it."]),
    ("J. K. Rowling wrote it. So did I. Yes.", ["J. K. Rowling wrote it.", "So did I.", "Yes."]),
    ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
    ("**Note.** Call us. (Really.) Now.", ["**Note.**", "Call us.", "(Really.)", "Now."]),
    ("No. That is wrong. No. 5 is right.", ["No.", "That is wrong.", "No. 5 is right."]),
    ("We sell pens, paper, etc. The shop is open.", ["We sell pens, paper, etc.", "The shop is open."]),
    ("Acme Inc. Sales will call.", ["Acme Inc. Sales will call."]),
    ("Wait!! What?! Fine.", ["Wait!!", "What?!", "Fine."]),
    ("no full stop", ["no full stop"]),
    ("  \n \n ", []),
    ("", []),
]


def split(text: str, cuts: list[int], limit: int = 400) -> list[str]:
    splitter = SentenceSplitter(limit)
    edges = sorted({0, len(text), *(c % (len(text) + 1) for c in cuts)})
    found = [s for a, b in zip(edges, edges[1:], strict=False) for s in splitter.push(text[a:b])]
    return found + splitter.flush()


@pytest.mark.parametrize(("text", "sentences"), CASES)
def test_sentences_are_cut_where_a_reader_would(text: str, sentences: list[str]) -> None:
    assert split(text, []) == sentences
    assert split(text, list(range(len(text)))) == sentences


def test_a_sentence_comes_as_soon_as_it_is_surely_whole() -> None:
    splitter = SentenceSplitter()
    assert splitter.push("Sure! ") == ["Sure!"]
    assert splitter.push("It is 4.") == []
    assert splitter.push("5 now.") == []
    assert splitter.push(" N") == ["It is 4.5 now."]
    assert splitter.push("ext") == []
    assert splitter.flush() == ["Next"]
    assert splitter.push("Again.\n") == ["Again."]


TEXT = st.text(st.sampled_from(list("aAbI1 .,!?…\n\"')*:5")) | st.characters(codec="utf-8"), max_size=400)
WORDY = st.lists(
    st.sampled_from(
        ["Dr.", "etc.", "a.m.", "The", "the", "U.S.", "no.", "No.", "x,", "...", "5.", "\n", "“Hi.”", "e.g."]
    ),
    max_size=60,
).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(TEXT | WORDY, st.lists(st.integers(0, 1000), max_size=30), st.sampled_from([40, 60, 400]))
def test_any_chunking_gives_the_same_sentences_and_loses_nothing(
    text: str, cuts: list[int], limit: int
) -> None:
    whole = split(text, [], limit)
    assert split(text, cuts, limit) == whole
    assert "".join("".join(whole).split()) == "".join(text.split())
    assert all(0 < len(s) <= limit for s in whole)


def test_a_text_without_stops_is_cut_at_clauses_or_words_and_the_buffer_stays_small() -> None:
    splitter = SentenceSplitter(limit=100)
    found = [s for _ in range(100) for s in splitter.push("one two three, four five six seven ")]
    assert all(s.endswith(",") and len(s) <= 100 for s in found)
    assert len(found) > 30 and len(splitter.flush()) <= 2
    assert [len(s) for s in splitter.push("x" * 1000)] == [100] * 9


def test_the_limit_has_a_floor() -> None:
    with pytest.raises(ValueError, match="at least 40"):
        SentenceSplitter(10)


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("Let me check. ", ["Let me check."]),
        ("Really?", ["Really?"]),
        ('He said "no." ', ['He said "no."']),
        ("One moment", []),
        ("It costs 3.", []),
        ("I asked Dr. ", []),
        ("Ask J. ", []),
        ("So am I. ", ["So am I."]),
        ("", []),
    ],
)
def test_a_pause_gives_what_reads_as_a_whole_sentence(text: str, given: list[str]) -> None:
    splitter = SentenceSplitter()
    assert splitter.push(text) == []
    assert splitter.pause() == given
    assert [*given, *splitter.push("Next one."), *splitter.flush()][-1].endswith("Next one.")
