"""The caller and another leg, connected until one hangs up; each may ask that it be replaced by somebody.

caller ═══ other        the other asks (REFER):  caller ═══ target, the other hangs up
                        the caller asks:         other ═══ target, the caller hangs up; the call goes on
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from gateway.actions.line import Line, StepFailed
from gateway.actions.parties import Party, Silence, bridge_of, next_reply, party_of, whispered
from gateway.actions.reach import failure_word, sounding
from gateway.actions.referred import Ear, Found, Transfer, refuse
from gateway.announcer import BrokenOff, CallerGone
from gateway.calls.call_events import BridgeChanged
from gateway.calls.orders import GoTo
from media.clock import now
from media.legs.base import EndReason, Leg, LegClosed, LegEvent, TransferAsked
from media.legs.bridge import Bridge
from media.tones import ringback


async def connect(line: Line, other: Leg, *, ends_on: str = "", replies: int = 0) -> None:
    """Let the caller and the other leg speak until one of them hangs up; the other leg is over then.

    `ends_on`: a key of the caller's that sends the other leg away as well; "" for none. `replies`: numbers
    used on the other leg's playout so far. Raises `CallerGone`
    when it was the caller who hung up, and when nobody is left of those whom he brought together; `BrokenOff`
    when he is to go to another route; `StepFailed` when the other hung up for a transfer that failed.
    """
    await Connection(line, other, ends_on, replies).run()


class Connection:
    """One call's, for as long as anybody is connected in it."""

    def __init__(self, line: Line, other: Leg, ends_on: str, replies: int) -> None:
        self._line = line
        self._other: Leg | None = other
        self._ends_on = ends_on
        self._gone: Leg | None = None
        """The other leg, once it is over."""
        self._replies = replies
        """Used on the other leg's playout."""
        self._bridge: Bridge | None = None
        self._transfer: Transfer | None = None
        self._over = False

    async def run(self) -> None:
        """See `connect`."""
        self._line.connection = self
        try:
            await self._talk_on()
            self._line.announcer.check()
        finally:
            # From here on nobody who is being hung up has anybody called for him.
            self._line.connection, self._over = None, True
            if self._transfer is not None:
                await self._transfer.drop()
            if self._other is not None:
                gone = self._line.call.closed is not None
                await self._other.hangup(EndReason.CALLER_HUNG_UP if gone else EndReason.AGENT_HUNG_UP)

    def asked(self, leg: Leg, asked: TransferAsked) -> None:
        """One of the two asks us to call somebody in its place. Returns at once."""
        line = self._line
        if self._over or self._transfer is not None:
            line.spawn(refuse(leg))
            return
        self._transfer = Transfer(
            leg, asked, line.transfers, (line.call,), self._found, routable=leg is not line.call.leg
        )

    def _found(self, found: Found | None) -> None:
        if found is None:
            self._transfer = None
        else:
            self._stop()

    def _stop(self) -> None:
        if self._bridge is not None:
            self._bridge.stop()

    async def _talk_on(self) -> None:
        """With one after the other."""
        while self._other is not None:
            await self._talk(self._other)
            transfer = self._transfer
            if transfer is None or not transfer.agreed:
                return
            if transfer.asker is self._line.call.leg:
                await self._without_caller(self._other, transfer)
                return
            self._line.part_with(self._other, gone=self._gone is self._other)
            self._other = None
            self._other = await awaited(self._line, transfer)
            self._transfer, self._replies = None, 0
            if self._other is None:
                raise StepFailed("the other side left for a transfer", failure_word(transfer.sip_code))

    async def _talk(self, other: Leg) -> None:
        """Until somebody hangs up, or somebody else was found. Raises `CallerGone`, `BrokenOff`."""
        call, announcer = self._line.call, self._line.announcer

        def key(digit: str) -> bool:
            if digit == self._ends_on:
                self._stop()
            return digit == self._ends_on

        self._replies += 1
        replies = (next_reply(self._line), self._replies)
        self._bridge = bridge = bridge_of(party_of(self._line, key), self._far(other), replies)
        call.happened(BridgeChanged(now(), other.leg_id, on=True))
        try:
            with announcer.besides(whispered(bridge, self._line)):
                await announcer.until(bridge.run())
            announcer.check()
        except CallerGone:
            if not self._left_to_another:
                raise
        finally:
            self._bridge = None
            announcer.hush()
            call.lend(announcer)
            call.happened(BridgeChanged(now(), other.leg_id, on=False))

    @property
    def _left_to_another(self) -> bool:
        """The caller hung up after we had agreed to call somebody in his place."""
        transfer, call = self._transfer, self._line.call
        asked = transfer is not None and transfer.agreed and transfer.asker is call.leg
        return asked and call.closed is not None and not self._line.announcer.ordered.is_set()

    def _far(self, leg: Leg) -> Party:
        """A leg that belongs to no other call."""

        def told(event: LegEvent) -> None:
            if isinstance(event, TransferAsked):
                self.asked(leg, event)
            elif isinstance(event, LegClosed):
                self._gone = leg

        limit = self._line.ears.settings.turns.guards.media_lost
        return Party(leg, leg.attach, told, Silence(limit, self._stop))

    # ------------------------------------------------------------------------------- without the caller

    async def _without_caller(self, other: Leg, transfer: Transfer) -> None:
        """The two others talk on, for as long as nobody ends the call. Raises `CallerGone`."""
        call, announcer = self._line.call, self._line.announcer
        target = await self._kept_waiting(other, transfer)
        if target is None:
            announcer.check()  # the caller has hung up
            return
        self._transfer = None
        self._line.part_with(call.leg, gone=call.closed is not None, over=call.gone)
        self._replies += 1
        self._bridge = bridge = bridge_of(self._far(other), self._far(target), (self._replies, 1))
        call.happened(BridgeChanged(now(), target.leg_id, on=True))
        try:
            await first(bridge.run(), announcer.ordered.wait())
        finally:
            self._bridge = None
            await target.hangup(EndReason.AGENT_HUNG_UP)
            call.happened(BridgeChanged(now(), target.leg_id, on=False))
            announcer.gone(EndReason.TRANSFERRED)

    async def _kept_waiting(self, other: Leg, transfer: Transfer) -> Leg | None:
        """Whoever answers; until then the other one hears it ring. None when nobody does, or he hangs up."""
        if self._gone is other:
            return None
        ear = Ear(other)
        if not transfer.over:
            self._replies += 1
            waits = [transfer.found(), ear.gone.wait(), self._line.announcer.ordered.wait()]
            await first(_ring(other, self._replies), *waits)
            other.playout.clear()
        if not transfer.over or ear.gone.is_set():
            return None
        found = transfer.take()
        return None if isinstance(found, GoTo) else found


async def awaited(line: Line, transfer: Transfer) -> Leg | None:
    """Whoever the caller is to be connected with; until he answers the caller hears it ring.

    None when nobody answers. Raises `BrokenOff` when the caller is to go to another route, and `CallerGone`.
    """
    if not transfer.over:
        async with sounding(line, ringback(line.call.leg.sample_rate)):
            await line.announcer.until(transfer.found())
    found = transfer.take()
    if isinstance(found, GoTo):
        raise BrokenOff(found)
    return found


async def first(*works: Coroutine[Any, Any, object]) -> None:
    """Wait until one of them is over; the others are cancelled. What one raises is raised."""
    tasks = [asyncio.get_running_loop().create_task(work, name="first-of-many") for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _ring(leg: Leg, reply: int) -> None:
    """Until cancelled."""
    sound = ringback(leg.sample_rate)
    while True:
        leg.playout.write(sound, reply)
        await asyncio.sleep(len(sound) / leg.sample_rate)
