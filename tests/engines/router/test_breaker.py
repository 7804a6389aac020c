from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engines.router.breaker import Breaker, BreakerSettings, BreakerState

SETTINGS = BreakerSettings(failures=2, window=10.0, rest=0.5, longest_rest=4.0, try_seconds=5.0)


def test_it_opens_after_failures_in_a_row_and_lets_one_try_after_its_rest() -> None:
    breaker = Breaker(SETTINGS)
    breaker.failed(0.0)
    breaker.worked(0.1)
    breaker.failed(0.2)
    assert breaker.allows(0.2)
    breaker.failed(0.3)
    assert breaker.state(0.3) is BreakerState.OPEN and not breaker.may_try(0.79)
    assert breaker.state(0.8) is BreakerState.HALF_OPEN and not breaker.allows(0.8)
    assert breaker.may_try(0.8) and not breaker.may_try(0.9)
    breaker.worked(1.0)
    assert breaker.state(1.0) is BreakerState.CLOSED


def test_each_failed_try_doubles_the_rest_up_to_the_longest() -> None:
    breaker = Breaker(SETTINGS)
    breaker.failed(0.0)
    breaker.failed(0.0)
    rests = []
    now = 0.0
    for _ in range(5):
        rests.append(breaker.reopens() - now)
        now = breaker.reopens()
        assert breaker.may_try(now)
        breaker.failed(now)
    assert rests == [0.5, 1.0, 2.0, 4.0, 4.0]


def test_one_that_fails_half_the_time_is_left_alone_too() -> None:
    breaker = Breaker(SETTINGS)
    for number in range(9):
        (breaker.failed if number % 2 else breaker.worked)(number * 0.1)
    assert breaker.allows(0.9)
    breaker.failed(0.9)
    assert not breaker.allows(0.9)


def test_what_was_begun_before_it_opened_neither_closes_it_nor_counts() -> None:
    breaker = Breaker(SETTINGS)
    breaker.failed(0.0)
    breaker.failed(0.0)
    breaker.worked(0.1)
    breaker.failed(0.2)
    assert breaker.state(0.4) is BreakerState.OPEN and breaker.reopens() == 0.5
    breaker.worked(0.6)
    assert breaker.state(0.6) is BreakerState.HALF_OPEN, "nobody tried it"


def test_a_try_that_is_never_heard_of_does_not_hold_the_place_for_ever() -> None:
    breaker = Breaker(SETTINGS)
    breaker.failed(0.0)
    breaker.failed(0.0)
    assert breaker.may_try(1.0) and not breaker.may_try(5.9) and breaker.may_try(6.0)


def test_one_that_fails_again_soon_rests_longer() -> None:
    breaker = Breaker(SETTINGS)
    for now in (0.0, 0.0):
        breaker.failed(now)
    breaker.may_try(0.5)
    breaker.worked(0.5)
    for now in (1.0, 1.0):
        breaker.failed(now)
    assert breaker.reopens() == 2.0
    breaker.may_try(2.0)
    breaker.worked(2.0)
    for now in (20.0, 20.0):
        breaker.failed(now)
    assert breaker.reopens() == 20.5, "it had worked long enough to be believed"


@pytest.mark.parametrize("wrong", [{"failures": 0}, {"share": 2.0}, {"rest": 0.0}, {"longest_rest": 0.1}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BreakerSettings(**wrong)  # type: ignore[arg-type]


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order, at rising times."""

    @initialize(failures=st.integers(1, 4), rest=st.floats(0.1, 2.0))
    def begin(self, failures: int, rest: float) -> None:
        self.settings = BreakerSettings(failures=failures, rest=rest, longest_rest=4.0)
        self.breaker, self.now, self.in_row, self.trying = Breaker(self.settings), 0.0, 0, False

    @rule(step=st.floats(0.0, 3.0))
    def wait(self, step: float) -> None:
        self.now += step

    @rule()
    def works(self) -> None:
        before = self.breaker.state(self.now)
        self.breaker.worked(self.now)
        after = self.breaker.state(self.now)
        if before is BreakerState.OPEN:
            assert after is BreakerState.OPEN
        if before is BreakerState.HALF_OPEN:
            assert (after is BreakerState.CLOSED) == self.trying
        self.in_row, self.trying = 0, False

    @rule()
    def fails(self) -> None:
        before = self.breaker.state(self.now)
        self.breaker.failed(self.now)
        after = self.breaker.state(self.now)
        if before is BreakerState.CLOSED:
            self.in_row += 1
            if self.in_row >= self.settings.failures:
                assert after is BreakerState.OPEN
        if before is BreakerState.HALF_OPEN and self.trying:
            assert after is BreakerState.OPEN
        if after is not BreakerState.CLOSED:
            self.in_row = 0
        if before is not BreakerState.OPEN:
            self.trying = False

    @precondition(lambda self: self.breaker.state(self.now) is BreakerState.HALF_OPEN)
    @rule()
    def tries(self) -> None:
        if self.breaker.may_try(self.now):
            self.trying = True
            assert not self.breaker.may_try(self.now)

    @invariant()
    def never_shut_for_good(self) -> None:
        if hasattr(self, "breaker"):
            assert self.breaker.reopens() <= self.now + self.settings.longest_rest
            assert self.breaker.allows(self.now) == (self.breaker.state(self.now) is BreakerState.CLOSED)


TestAnyOrder = AnyOrder.TestCase


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=40))
def test_good_outcomes_alone_never_open_it(outcomes: list[tuple[bool, float]]) -> None:
    breaker, now = Breaker(SETTINGS), 0.0
    for _, step in outcomes:
        now += step
        breaker.worked(now)
    assert breaker.allows(now)
