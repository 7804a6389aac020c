"""What comes from a leg before anybody listens, and who is told that it is over."""

from __future__ import annotations

from media.frame import AudioFrame, Voice
from media.legs.base import EndReason, LegClosed, LegEvent
from media.legs.inbox import Inbox


class Ear:
    def __init__(self) -> None:
        self.told: list[LegEvent] = []

    def hear(self, frame: AudioFrame, voice: Voice) -> None: ...

    def notice(self, event: LegEvent) -> None:
        self.told.append(event)


def test_a_leg_that_is_over_says_so_to_whoever_comes_later_and_once_to_each() -> None:
    closed = LegClosed(EndReason.CALLER_HUNG_UP, 1.0)
    for before in (True, False):
        inbox, first, later = Inbox(), Ear(), Ear()
        if before:
            inbox.notice(closed)
        inbox.attach(first)
        if not before:
            inbox.notice(closed)
        inbox.attach(later)
        assert first.told == later.told == [closed]
