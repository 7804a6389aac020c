"""Ports of finished calls rest before they serve again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.legs.sip_ports import PortQuarantine, slices


def test_a_port_is_held_for_its_quarantine_and_no_longer() -> None:
    ports = PortQuarantine(30.0)
    ports.release(4000, 100.0)
    assert ports.is_held(4000, 129.9)
    assert not ports.is_held(4002, 129.9)
    assert not ports.is_held(4000, 130.0)
    assert len(ports) == 0


def test_a_second_call_on_the_port_starts_its_rest_anew() -> None:
    ports = PortQuarantine(30.0)
    ports.release(4000, 100.0)
    ports.release(4002, 105.0)
    ports.release(4000, 110.0)
    assert ports.is_held(4000, 139.0)
    assert not ports.is_held(4002, 139.0)


@given(
    st.integers(min_value=512, max_value=20_000).map(lambda n: 2 * n),
    st.integers(min_value=1, max_value=5_000),
    st.integers(min_value=1, max_value=20),
)
def test_slices_are_even_and_lie_apart_inside_the_range(first: int, pairs: int, parts: int) -> None:
    if pairs < parts:
        return
    last = first + 2 * pairs - 1
    used: set[int] = set()
    for start, width in slices(first, last, parts):
        ports = set(range(start, start + width + 2))
        assert start % 2 == 0 and not used & ports
        assert min(ports) >= first and max(ports) <= last
        used |= ports


@pytest.mark.parametrize(("parts", "expected"), [(1, [(4000, 98)]), (2, [(4000, 48), (4050, 48)])])
def test_slices_of_fifty_pairs(parts: int, expected: list[tuple[int, int]]) -> None:
    assert slices(4000, 4099, parts) == expected
