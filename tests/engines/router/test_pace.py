from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.router.pace import Pace, PaceSettings

SETTINGS = PaceSettings(0.1, 0.3, 0.6)


def test_it_is_given_the_usual_time_until_it_is_known() -> None:
    pace = Pace(SETTINGS)
    assert pace.limit == 0.3
    for _ in range(4):
        pace.took(0.01)
    assert pace.limit == 0.3
    pace.took(0.01)
    assert pace.limit == 0.1
    assert pace.usual == 0.01


def test_a_slow_one_is_given_longer_but_not_for_ever() -> None:
    pace = Pace(SETTINGS)
    for _ in range(10):
        pace.took(0.2)
    assert pace.limit == pytest.approx(0.45)
    for _ in range(10):
        pace.took(2.0)
    assert pace.limit == 0.6


def test_one_that_may_take_longer() -> None:
    assert PaceSettings(0.1, 0.3, 0.6).times(2.0) == PaceSettings(0.2, 0.6, 1.2)


def test_limits_must_rise() -> None:
    with pytest.raises(ValueError, match="must rise"):
        PaceSettings(0.5, 0.3, 0.6)


@given(st.lists(st.floats(0, 10), max_size=80))
def test_the_limit_stays_within_its_bounds(times: list[float]) -> None:
    pace = Pace(SETTINGS)
    for seconds in times:
        pace.took(seconds)
        assert 0.1 <= pace.limit <= 0.6
