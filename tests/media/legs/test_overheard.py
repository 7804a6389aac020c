"""A leg that may be overheard: patched to another one in the bus for as long as nobody listens."""

from __future__ import annotations

from media.frame import AudioFrame
from media.legs.base import Leg
from media.legs.overheard import OverheardLeg
from media.legs.wrapped import WrappedLeg
from tests.fakes.caller import ScriptedCaller


class BusLeg(WrappedLeg):
    """One that the bus could patch, to legs of its own kind alone, as `SipLeg` is."""

    def __init__(self, leg: Leg) -> None:
        super().__init__(leg)
        self.patched: list[Leg] = []

    def patch(self, other: Leg) -> bool:
        if not isinstance(other, BusLeg):
            return False
        self.patched.append(other)
        return True


def nobody(frame: AudioFrame) -> None:
    """An ear."""


def test_two_calls_meet_in_the_bus_while_nobody_listens() -> None:
    one, other = BusLeg(ScriptedCaller([])), BusLeg(ScriptedCaller([]))
    assert OverheardLeg(one).patch(OverheardLeg(other))
    assert OverheardLeg(one).patch(other), "nor does it matter that one of them belongs to no call of its own"
    assert one.patched == [other, other]


def test_a_leg_that_is_overheard_is_not_patched_from_either_side() -> None:
    one, other = BusLeg(ScriptedCaller([])), BusLeg(ScriptedCaller([]))
    heard, call = OverheardLeg(one), OverheardLeg(other)
    heard.overhear(nobody)
    assert not heard.patch(call) and not call.patch(heard)
    heard.unhear(nobody)
    assert heard.patch(call)
    assert (one.patched, other.patched) == ([other], [])
