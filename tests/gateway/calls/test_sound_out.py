from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.sound_out import MOST_MARKS, MOST_NAMES, Heard, SoundOut
from media.frame import Pcm
from media.legs.base import LegEvent, PlayoutMark, PlayoutStarted
from media.playout import QueuePlayout

FRAME = 160


class Line:
    """A playout and what it tells, behind a `SoundOut`."""

    def __init__(self, limit: float = 60.0) -> None:
        self.events: list[LegEvent] = []
        self.playout = QueuePlayout(8000, self.events.append)
        self.out = SoundOut(self.playout, 8000, replies=3, limit=limit)
        self.told: list[str] = []

    def tick(self, count: int = 1) -> Pcm:
        sound = [self.playout.pull(0.0) for _ in range(count)]
        for event in self.events:
            if isinstance(event, PlayoutMark):
                self.told += self.out.reached(event.mark)
        self.started = [event.reply for event in self.events if isinstance(event, PlayoutStarted)]
        return np.concatenate(sound)


def tone(samples: int, level: int = 1000) -> Pcm:
    return np.full(samples, level, np.int16)


def test_a_stretch_without_a_gap_is_one_reply() -> None:
    line = Line()
    for _ in range(3):
        line.out.play(tone(400))
        line.tick()
    line.tick(10)
    line.out.play(tone(FRAME))
    line.tick()
    assert line.started == [4, 5]
    assert line.out.replies == 5 and line.out.sent == 1360 and line.out.waiting == 0


def test_clear_is_silent_at_once_and_what_follows_sounds() -> None:
    line = Line()
    line.out.play(tone(1600))
    line.tick(3)
    line.out.clear()
    assert not line.tick(5).any()
    line.out.play(tone(FRAME, 7))
    assert set(line.tick()) == {7}
    assert line.out.sent == 4 * FRAME


def test_marks_are_told_when_reached_and_all_at_once_on_clear() -> None:
    line = Line()
    line.out.play(tone(320))
    line.out.mark("a")
    line.out.play(tone(320))
    line.out.mark("b")
    line.out.mark("c")
    line.tick(1)
    assert line.told == []
    line.tick(2)
    assert line.told == ["a"]
    assert line.out.clear() == ["b", "c"]
    line.tick(5)
    assert line.told == ["a"]
    line.out.mark("d")
    line.tick(1)
    assert line.told == ["a", "d"], "with nothing to wait for, at once"


def test_how_far_each_tag_was_heard_is_exact_to_the_sample() -> None:
    line = Line()
    line.out.play(tone(250), "one")
    line.out.play(tone(500), "two")
    line.tick(2)
    assert line.out.heard("one") == Heard(250, 250)
    assert line.out.heard("two") == Heard(70, 500)
    line.out.clear()
    assert line.out.heard("two") == Heard(70, 500) and not line.out.heard("two").whole
    line.out.play(tone(100), "three")
    line.tick(4)
    assert [line.out.heard(tag).sent for tag in ("one", "two", "three", "four")] == [250, 70, 100, 0]


def test_more_sound_than_fits_is_counted_and_lost() -> None:
    line = Line(limit=0.1)
    assert line.out.play(tone(1000)) == 800
    assert line.out.play(tone(10)) == 0
    assert line.out.refused == 210
    line.tick(2)
    assert line.out.play(tone(1000)) == 320


def test_marks_without_end_are_bounded_and_keep_their_order() -> None:
    line = Line()
    line.out.play(tone(FRAME * 3))
    names = [str(number) for number in range(MOST_NAMES + 5)]
    taken = [name for name in names if line.out.mark(name)]
    assert taken == names[:MOST_NAMES] and line.out.marks_early == 5
    line.tick(4)
    assert line.told == taken
    assert MOST_MARKS < MOST_NAMES
    assert line.out.mark("again")


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("play"), st.integers(0, 700), st.sampled_from("ab")),
            st.tuples(st.just("tick"), st.integers(1, 4), st.just("")),
            st.tuples(st.just("clear"), st.just(0), st.just("")),
            st.tuples(st.just("mark"), st.just(0), st.just("")),
        ),
        max_size=60,
    )
)
def test_whatever_happens_the_sums_agree_with_what_was_really_sent(steps: list[tuple[str, int, str]]) -> None:
    line = Line(limit=0.2)
    heard: dict[str, int] = {"a": 0, "b": 0}
    marks = at_once = 0
    for what, number, tag in steps:
        if what == "play":
            line.out.play(tone(number, 1 + "ab".index(tag)), tag)
        elif what == "tick":
            sound = line.tick(number)
            line.events.clear()
            heard["a"] += int((sound == 1).sum())
            heard["b"] += int((sound == 2).sum())
        elif what == "clear":
            at_once += len(line.out.clear())
            assert line.out.waiting == 0
        else:
            marks += line.out.mark("m")
        assert 0 <= line.out.waiting <= 1600
        assert {tag: line.out.heard(tag).sent for tag in heard} == heard
        assert line.out.sent == sum(heard.values())
    line.tick(20)
    assert at_once + len(line.told) == marks
