"""Which next pieces are lifted, and by how much."""

from __future__ import annotations

from engines.base import AsrOptions
from engines.nemo.hot_words import HotWords, expected


def test_the_next_piece_of_every_word_begun_is_lifted() -> None:
    hot = HotWords([((1, 2, 3), 2.0), ((1, 4), 1.0), ((2,), 0.5)])
    state = hot.start
    assert hot.lifts(state) == {1: 2.0, 2: 0.5}
    state = hot.after(state, 1)
    assert hot.lifts(state) == {1: 2.0, 2: 2.0, 4: 1.0}
    state = hot.after(state, 2)
    assert hot.lifts(state) == {1: 2.0, 2: 0.5, 3: 2.0}
    assert hot.lifts(hot.after(state, 3)) == hot.lifts(hot.start) == hot.lifts(hot.after(state, 99))


def test_boosts_are_counted_as_riva_does_and_capitals_are_tried() -> None:
    asked: list[str] = []

    def pieces(word: str) -> list[int]:
        asked.append(word)
        return [len(asked)] if word != "unwritable" else []

    options = AsrOptions(hot_words=("Offhook", "unwritable"), boosts=(20.0,))
    hot = expected(options, 4.0, pieces)
    assert hot is not None and max(hot.lifts(hot.start).values()) == 5.0
    assert set(asked) == {"Offhook", "offhook", "unwritable", "Unwritable"}
    assert expected(AsrOptions(), 4.0, pieces) is None
    default = expected(AsrOptions(hot_words=("x",)), 4.0, lambda word: [1])
    assert default is not None and default.lifts(default.start) == {1: 1.0}
