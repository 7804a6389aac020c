"""We send and nothing comes back: told once per gap."""

from __future__ import annotations

from media.legs.sip_one_way import PATIENCE, OneWayWatch


def told(watch: OneWayWatch, frames: int, *, nothing: bool = True, expected: bool = True) -> list[float]:
    quiet = [watch.frame(0.02, nothing=nothing, expected=expected) for _ in range(frames)]
    return [seconds for seconds in quiet if seconds]


def test_a_gap_is_told_once_when_it_is_long() -> None:
    watch = OneWayWatch()
    assert told(watch, 95) == []
    assert [round(seconds, 2) for seconds in told(watch, 300)] == [PATIENCE]
    assert told(watch, 1, nothing=False) == []
    assert len(told(watch, 300)) == 1 and watch.count == 2


def test_hold_and_ringing_are_no_gap() -> None:
    watch = OneWayWatch()
    assert told(watch, 300, expected=False) == [] and watch.count == 0
