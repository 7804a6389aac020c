"""Where a licence stands: the states, the announced steps, and a clock that cannot be turned back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from license.entitlement import DAY, Answer, Terms
from license.standing import SEVERITY, Licence, Standing, State, Step, TrustedTime

NOW = 1_800_000_000.0
TERMS = Terms("acme", expires=NOW + 100 * DAY, max_calls=10)


def connected(terms: Terms = TERMS) -> Licence:
    licence = Licence()
    licence.answered(Answer(terms, NOW))
    return licence


def test_before_the_first_answer_nothing_is_taken() -> None:
    standing = Licence().standing(NOW)
    assert (standing.state, standing.step) == (State.READY, Step.NONE)


def test_connected() -> None:
    standing = connected().standing(NOW)
    assert (standing.state, standing.step, standing.reason) == (State.CONNECTED, Step.FULL, "")


def test_an_outage_is_announced_step_by_step() -> None:
    licence = connected()
    licence.unreachable()
    steps = [(hours, licence.standing(NOW + hours * 3600).step) for hours in (0, 17, 18, 23, 24, 25)]
    assert steps == [
        (0, Step.WARN), (17, Step.WARN), (18, Step.HALF), (23, Step.HALF), (24, Step.NONE), (25, Step.NONE),
    ]  # fmt: skip
    assert licence.standing(NOW + 3600).state is State.GRACE
    assert licence.standing(NOW + DAY).state is State.EXPIRED


def test_the_end_of_the_licence_is_announced_step_by_step() -> None:
    licence = connected()
    before = {20: Step.FULL, 14: Step.WARN, 2: Step.WARN, 1: Step.HALF, 0: Step.NONE}
    assert {days: licence.standing(TERMS.expires - days * DAY).step for days in before} == before


def test_a_good_answer_ends_it_all() -> None:
    licence = connected()
    licence.unreachable()
    later = NOW + 5 * DAY
    assert licence.standing(later).step is Step.NONE
    licence.answered(Answer(TERMS, later))
    assert licence.standing(later).state is State.CONNECTED


def test_a_revoked_licence_takes_nothing_new() -> None:
    licence = connected()
    licence.answered(Answer(TERMS, NOW + 1, revoked=True))
    assert licence.standing(NOW + 2).state is State.EXPIRED


def test_an_older_answer_changes_nothing() -> None:
    licence = connected()
    licence.answered(Answer(TERMS, NOW + 10, revoked=True))
    licence.answered(Answer(TERMS, NOW + 5))
    assert licence.standing(NOW + 11).state is State.EXPIRED


def test_a_remembered_answer_is_grace_until_a_check_succeeds() -> None:
    licence = Licence()
    licence.answered(Answer(TERMS, NOW), fresh=False)
    assert licence.standing(NOW + 3600).state is State.GRACE


@pytest.mark.parametrize(
    ("step", "licensed", "capacity", "places"),
    [
        (Step.FULL, 10, 100, 10),
        (Step.FULL, 0, 100, 100),
        (Step.WARN, 200, 100, 100),
        (Step.HALF, 10, 100, 5),
        (Step.HALF, 0, 100, 50),
        (Step.HALF, 1, 100, 1),
        (Step.NONE, 10, 100, 0),
    ],
)
def test_places(step: Step, licensed: int, capacity: int, places: int) -> None:
    assert Standing(State.GRACE, step, NOW, "").places(licensed, capacity) == places


def test_an_outage_on_the_last_day_makes_nothing_better() -> None:
    licence = Licence()
    licence.answered(Answer(Terms("x", NOW + DAY, 3600.0, max_calls=8), NOW, False))
    assert licence.standing(NOW).step is Step.HALF
    licence.unreachable()
    assert licence.standing(NOW).step is Step.HALF


def test_warnings_count_down_and_come_once() -> None:
    licence = connected()
    assert licence.warning(NOW) == ""
    licence.unreachable()
    told = [licence.warning(NOW + minutes * 60) for minutes in range(0, 24 * 60 + 5, 5)]
    spoken = [line.rpartition("another ")[2] for line in told if line]
    assert spoken[:-1] == ["24 h", "12 h", "6 h", "3 h", "1 h", "30 min", "10 min"]
    assert "grace period is over" in spoken[-1]


def test_the_clock_cannot_be_turned_back() -> None:
    clock = TrustedTime(latest=NOW)
    assert clock.now(NOW - DAY, 100.0) == NOW
    assert clock.set_back
    assert clock.now(NOW - DAY + 50, 150.0) == NOW + 50
    assert clock.now(NOW + 60, 160.0) == NOW + 60
    assert not clock.set_back


def test_small_corrections_are_no_fraud() -> None:
    clock = TrustedTime(latest=NOW)
    clock.now(NOW - 10, 0.0)
    assert not clock.set_back


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e4))))
def test_trusted_time_never_goes_back(moves: list[tuple[float, float]]) -> None:
    clock, steady, last = TrustedTime(), 0.0, 0.0
    for jump, passed in moves:
        steady += passed
        found = clock.now(NOW + jump, steady)
        assert found >= last
        last = found


class LicenceLife(RuleBasedStateMachine):
    """Any order of answers, outages and time."""

    def __init__(self) -> None:
        super().__init__()
        self.licence = Licence()
        self.now = NOW
        self.reachable = False
        self.last: Standing | None = None
        self.helped = True

    @rule(days=st.floats(0, 40), grace=st.floats(0, 5 * DAY), revoked=st.booleans())
    def answers(self, days: float, grace: float, revoked: bool) -> None:
        terms = Terms("x", self.now + days * DAY, grace, max_calls=8)
        self.licence.answered(Answer(terms, self.now, revoked))
        self.helped = True

    @precondition(lambda self: self.licence.answer is not None)
    @rule()
    def fails(self) -> None:
        self.licence.unreachable()

    @rule(seconds=st.floats(0, 2 * DAY))
    def waits(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def holds(self) -> None:
        standing = self.licence.standing(self.now)
        assert (standing.step is Step.NONE) == (standing.state in (State.READY, State.EXPIRED))
        if standing.step is not Step.NONE:
            assert standing.ends is not None and self.now < standing.ends <= standing.terms.expires  # type: ignore[union-attr]
            assert standing.places(8, 100) >= 1
        if standing.step is not Step.FULL:
            assert standing.reason
        if self.last is not None and not self.helped:  # nothing but an answer makes it better
            assert SEVERITY[standing.step] >= SEVERITY[self.last.step]
        self.last, self.helped = standing, False


TestLicenceLife = LicenceLife.TestCase
