"""Connects a call with another telephone, or two calls with one another, until one of them leaves."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from gateway.actions.line import Line
from gateway.calls.call_events import BridgeChanged
from media.clock import now
from media.frame import AudioFrame
from media.legs.base import (
    DtmfReceived,
    EndReason,
    Leg,
    LegEvent,
    LegHeld,
    LegListener,
    LegResumed,
)
from media.legs.bridge import Bridge

_LATE = 5.0
"""Seconds that one call waits for the other to leave what it was doing."""


async def connect(line: Line, other: Leg, *, ends_on: str = "") -> None:
    """Let the caller and the other leg speak until one of them hangs up; the other leg is over then.

    `ends_on`: a key of the caller's that sends the other leg away as well; "" for none. Raises `CallerGone`
    when it was the caller who hung up.
    """
    call, announcer = line.call, line.announcer

    def key(digit: str) -> bool:
        if digit == ends_on:
            bridge.stop()
        return digit == ends_on

    limit = line.ears.settings.turns.guards.media_lost
    far = _Party(other, other.attach, lambda event: None, _Silence(limit, lambda: bridge.stop()))
    bridge = _bridge(_party_of(line, key), far, (_next_reply(line), 1))
    call.happened(BridgeChanged(now(), other.leg_id, on=True))
    try:
        await announcer.until(bridge.run())
        announcer.check()
    finally:
        call.leg.playout.clear()
        call.lend(announcer)
        gone = call.closed is not None
        await other.hangup(EndReason.CALLER_HUNG_UP if gone else EndReason.AGENT_HUNG_UP)
        call.happened(BridgeChanged(now(), other.leg_id, on=False))


class Meeting:
    """Two running calls that are to be connected, once each has left what it was doing.

    Each call attends; one that does not come, or goes, lets the other go on.
    """

    def __init__(self, one: Line, other: Line) -> None:
        self._lines = (one, other)
        self._here = 0
        self._over = asyncio.Event()
        self._bridge: Bridge | None = None
        self._talking: asyncio.Task[None] | None = None

    async def attend(self, line: Line) -> None:
        """Be connected with the other call until one hangs up or is wanted elsewhere.

        Raises `CallerGone`, `BrokenOff`.
        """
        self._here += 1
        try:
            if self._here == len(self._lines) and not self._over.is_set():
                self._talking = asyncio.get_running_loop().create_task(self._talk(), name="bridge")
            elif not self._over.is_set():
                asyncio.get_running_loop().call_later(_LATE, self._unmet)
            await line.announcer.until(self._over.wait())
            line.announcer.check()
        finally:
            self.part()
            if self._talking is not None:
                await asyncio.wait({self._talking})

    def part(self) -> None:
        """It is over, or will never be. Idempotent, returns at once."""
        if self._bridge is not None:
            self._bridge.stop()
        else:
            self._over.set()

    def _unmet(self) -> None:
        if self._talking is None:
            self._over.set()

    async def _talk(self) -> None:
        one, other = self._lines
        replies = (_next_reply(one), _next_reply(other))
        self._bridge = _bridge(_party_of(one), _party_of(other), replies)
        self._tell(on=True)
        try:
            await self._bridge.run()
        finally:
            for line in self._lines:
                line.call.leg.playout.clear()
                line.call.lend(line.announcer)
            self._tell(on=False)
            self._over.set()

    def _tell(self, *, on: bool) -> None:
        one, other = self._lines
        one.call.happened(BridgeChanged(now(), other.call.call_id, on=on))
        other.call.happened(BridgeChanged(now(), one.call.call_id, on=on))


@dataclass(frozen=True, slots=True)
class _Party:
    """One of the two, as a bridge needs it."""

    leg: Leg
    lend: Callable[[LegListener], None]
    told: Callable[[LegEvent], None]
    silence: _Silence
    keeps: Callable[[str], bool] = lambda key: False


def _party_of(line: Line, keeps: Callable[[str], bool] = lambda key: False) -> _Party:
    """A call: its announcer learns what happens, but for keys, which are the other's."""
    announcer = line.announcer

    def told(event: LegEvent) -> None:
        if not isinstance(event, DtmfReceived):
            announcer.notice(event)

    limit = line.ears.settings.turns.guards.media_lost
    silence = _Silence(limit, lambda: announcer.stop(EndReason.MEDIA_LOST))
    return _Party(line.call.leg, line.call.lend, told, silence, keeps)


def _next_reply(line: Line) -> int:
    line.call.replies += 1
    return line.call.replies


def _bridge(one: _Party, other: _Party, replies: tuple[int, int]) -> Bridge:
    def of(leg: Leg) -> _Party:
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


class _Silence:
    """Notices that a leg's network sends nothing any more, while nobody holds: a dead end never hangs up."""

    def __init__(self, limit: float, lost: Callable[[], None]) -> None:
        self._limit = limit
        self._lost = lost
        self._since = math.nan
        self._held = False

    def hear(self, frame: AudioFrame) -> None:
        if not (frame.lost or frame.dtx) or self._held or math.isnan(self._since):
            self._since = frame.arrived
        elif frame.arrived - self._since > self._limit:
            self._lost()

    def notice(self, event: LegEvent) -> None:
        self._held = isinstance(event, LegHeld) or (self._held and not isinstance(event, LegResumed))
