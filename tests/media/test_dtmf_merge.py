"""Each press once, by whatever kinds and in however many copies it comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.dtmf_merge import KeyKind, KeyMerger

RTP, INFO, INBAND = KeyKind.RTP, KeyKind.INFO, KeyKind.INBAND


def told(*news: tuple[KeyKind, str, float, int]) -> str:
    merger = KeyMerger()
    return "".join(digit for kind, digit, at, stamp in news if merger.press(kind, digit, at, stamp=stamp))


def test_packets_of_one_event_are_one_press_also_when_they_come_late() -> None:
    assert told((RTP, "1", 0.0, 10), (RTP, "1", 0.02, 10), (RTP, "2", 0.2, 30), (RTP, "1", 0.21, 10)) == "12"


def test_the_same_key_again_is_told_by_its_timestamp_alone() -> None:
    assert told((RTP, "5", 0.0, 10), (RTP, "5", 0.1, 110), (RTP, "5", 0.2, 210)) == "555"


@pytest.mark.parametrize("first", [RTP, INFO, INBAND])
@pytest.mark.parametrize("second", [RTP, INFO, INBAND])
def test_two_kinds_of_one_press_are_one(first: KeyKind, second: KeyKind) -> None:
    presses = "5" if first is not second or first is RTP else "55"
    assert told((first, "5", 0.0, 10), (second, "5", 0.1, 10)) == presses


@pytest.mark.parametrize("order", [(RTP, INFO), (INFO, RTP), (RTP, INBAND), (INBAND, INFO)])
def test_two_presses_by_two_kinds_each_are_two(order: tuple[KeyKind, KeyKind]) -> None:
    a, b = order
    assert told((a, "5", 0.0, 10), (b, "5", 0.05, 10), (a, "5", 0.2, 210), (b, "5", 0.25, 210)) == "55"


def test_all_three_kinds_of_one_press_are_one() -> None:
    assert told((INBAND, "9", 0.0, 0), (RTP, "9", 0.02, 10), (INFO, "9", 0.3, 0), (RTP, "9", 0.31, 10)) == "9"


def test_an_info_at_the_end_of_a_long_press_is_no_second_one() -> None:
    merger = KeyMerger()
    assert merger.press(INBAND, "1", 0.0)
    assert not merger.press(INFO, "1", 3.1, seconds=3.0)
    assert merger.press(RTP, "2", 5.0, stamp=1)
    for packet in range(150):
        assert not merger.press(RTP, "2", 5.0 + packet * 0.02, stamp=1)
    assert not merger.press(INFO, "2", 8.1)
    assert merger.repeated == 2


def test_a_peer_that_changes_its_kind_is_understood() -> None:
    assert told((RTP, "1", 0.0, 10), (INFO, "1", 5.0, 0), (INFO, "2", 5.5, 0)) == "112"


@given(
    st.lists(st.tuples(st.sampled_from("0123456789*#"), st.floats(0.12, 3.0)), max_size=12),
    st.sets(st.sampled_from([INFO, INBAND])),
    st.data(),
)
def test_whatever_is_lost_or_doubled_the_number_is_right(
    presses: list[tuple[str, float]], also: set[KeyKind], data: st.DataObject
) -> None:
    """A peer sends events, of which packets are lost or come twice, and other kinds beside them."""
    merger, at, out = KeyMerger(), 0.0, ""
    for stamp, (digit, gap) in enumerate(presses, start=1):
        packets = data.draw(st.integers(1, 9))
        news = [(RTP, 0.0)] + [(RTP, 0.02 * i) for i in range(packets)]
        news += [(kind, data.draw(st.floats(0.0, 0.1))) for kind in also]
        for kind, delay in sorted(news, key=lambda one: one[1]):
            if merger.press(kind, digit, at + delay, stamp=stamp):
                out += digit
        at += gap
    assert out == "".join(digit for digit, _ in presses)
