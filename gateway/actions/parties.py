"""The two of a bridge, as it needs them: whose leg, who is told, and who notices that nothing comes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from gateway.actions.line import Line
from media.frame import AudioFrame
from media.legs.base import DtmfReceived, EndReason, Leg, LegEvent, LegHeld, LegListener, LegResumed
from media.legs.bridge import Bridge


@dataclass(frozen=True, slots=True)
class Party:
    """One of the two, as a bridge needs it."""

    leg: Leg
    lend: Callable[[LegListener], None]
    told: Callable[[LegEvent], None]
    silence: Silence
    keeps: Callable[[str], bool] = lambda key: False


def party_of(line: Line, keeps: Callable[[str], bool] = lambda key: False) -> Party:
    """A call: its announcer learns what happens, but for keys, which are the other's."""
    announcer = line.announcer

    def told(event: LegEvent) -> None:
        if not isinstance(event, DtmfReceived):
            announcer.notice(event)

    limit = line.ears.settings.turns.guards.media_lost
    silence = Silence(limit, lambda: announcer.stop(EndReason.MEDIA_LOST))
    return Party(line.call.leg, line.call.lend, told, silence, keeps)


def next_reply(line: Line) -> int:
    """A number for whatever the caller hears next."""
    line.call.replies += 1
    return line.call.replies


def whispered(bridge: Bridge, line: Line) -> Callable[[bool], None]:
    """What is said by order into a connected call: its far end alone hears it, instead of the other."""

    def told(on: bool) -> None:
        if on:
            bridge.give_way(line.call.leg)
        else:
            bridge.go_on(line.call.leg, next_reply(line))

    return told


def bridge_of(one: Party, other: Party, replies: tuple[int, int]) -> Bridge:
    """Not yet running. `replies`: see `Bridge`."""

    def of(leg: Leg) -> Party:
        return one if leg is one.leg else other

    def notice(leg: Leg, event: LegEvent) -> None:
        of(leg).silence.notice(event)
        of(leg).told(event)

    return Bridge(
        one.leg,
        other.leg,
        replies=replies,
        on_event=notice,
        on_frame=lambda leg, frame, voice: of(leg).silence.hear(frame),
        lend=lambda leg, listener: of(leg).lend(listener),
        keeps=lambda leg, key: of(leg).keeps(key),
    )


class Silence:
    """Notices that a leg's network sends nothing any more, while nobody holds: a dead end never hangs up."""

    def __init__(self, limit: float, lost: Callable[[], None]) -> None:
        """`lost` is told after `limit` seconds."""
        self._limit = limit
        self._lost = lost
        self._since = math.nan
        self._held = False

    def hear(self, frame: AudioFrame) -> None:
        """A frame of the leg's, or one that stands for nothing."""
        if not (frame.lost or frame.dtx) or self._held or math.isnan(self._since):
            self._since = frame.arrived
        elif frame.arrived - self._since > self._limit:
            self._lost()

    def notice(self, event: LegEvent) -> None:
        """Who holds may be silent."""
        self._held = isinstance(event, LegHeld) or (self._held and not isinstance(event, LegResumed))
