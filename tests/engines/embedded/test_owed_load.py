"""What live streams take of the decode threads, and would take with one stream more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.embedded.owed_load import OwedLoad


class Threads:
    """A clock, and threads that work in proportion to the streams."""

    def __init__(self, threads: int = 1) -> None:
        self.now = 100.0
        self.spent = 0.0
        self.load = OwedLoad(threads, lambda: self.spent, lambda: self.now)

    def run(self, seconds: float, spent: float) -> None:
        """Time passes in tenths; the threads' time is spent evenly."""
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            self.spent += spent / round(seconds * 10)
            self.load.share()


def test_one_stream_more_costs_what_each_of_the_others_does() -> None:
    threads = Threads()
    for _ in range(4):
        threads.load.opened()
    threads.run(15.0, spent=6.0)
    assert threads.load.share() == pytest.approx(0.4, abs=0.01)
    assert threads.load.with_one_more() == pytest.approx(0.5, abs=0.01)


def test_little_that_is_known_refuses_nobody() -> None:
    threads = Threads()
    threads.load.opened()
    threads.run(10.0, spent=10.0)
    assert threads.load.with_one_more() == 0.0


def test_a_ramp_is_judged_by_what_each_takes_and_not_by_the_load_so_far() -> None:
    threads = Threads(threads=2)
    for number in range(40):
        threads.load.opened()
        threads.run(0.5, spent=0.5 * 0.03 * (number + 1))
    assert threads.load.share() < 0.35
    assert threads.load.with_one_more() == pytest.approx(0.03 * 41 / 2, rel=0.05)


def test_what_is_long_over_does_not_count() -> None:
    threads = Threads()
    for _ in range(10):
        threads.load.opened()
    threads.run(10.0, spent=10.0)
    assert threads.load.with_one_more() > 1.0
    for _ in range(9):
        threads.load.closed()
    threads.run(21.0, spent=0.5)
    assert threads.load.share() < 0.06
    assert threads.load.with_one_more() == 0.0, "one stream for 20 seconds says too little"


@given(
    st.lists(st.tuples(st.sampled_from(["open", "close", "wait"]), st.floats(0.01, 30.0)), max_size=60),
    st.integers(1, 16),
)
def test_the_figures_stay_sound_whatever_comes(steps: list[tuple[str, float]], count: int) -> None:
    threads = Threads(count)
    running = 0
    for what, seconds in steps:
        if what == "open":
            threads.load.opened()
            running += 1
        elif what == "close" and running:
            threads.load.closed()
            running -= 1
        else:
            threads.now += seconds
            threads.spent += seconds * min(running, count)
        assert threads.load.share() >= 0.0
        assert threads.load.with_one_more() >= 0.0
