from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engines.coqui.costs import Cost


@given(st.floats(0, 0.1), st.floats(0, 0.01), st.lists(st.integers(1, 64), min_size=2, max_size=60))
def test_a_straight_line_is_found(fixed: float, each: float, sizes: list[int]) -> None:
    cost = Cost()
    for size in sizes:
        cost.learn(size, fixed + each * size)
    for size in set(sizes):
        assert cost(size) >= 0.999 * (fixed + each * size) - 1e-9
    assert cost(100) >= cost(1)


def test_one_size_alone_counts_as_growing_with_the_size() -> None:
    cost = Cost()
    cost.learn(4, 0.04)
    assert cost(8) >= 0.08
    assert Cost(0.01, 0.001)(5) == 0.015


def test_it_forgets_what_was_long_ago() -> None:
    cost = Cost()
    for _ in range(200):
        cost.learn(1, 1.0)
    for _ in range(200):
        cost.learn(1, 0.01)
    assert cost(1) < 0.05


def test_an_unsteady_device_is_predicted_on_the_safe_side() -> None:
    cost = Cost()
    for turn in range(400):
        cost.learn(10, 0.1 + 0.02 * (turn % 2))
    assert cost(10) >= 0.12
