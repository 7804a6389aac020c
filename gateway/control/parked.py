"""A call that waits for orders: nobody talks with the far end but whoever orders something said."""

from __future__ import annotations

import asyncio

from gateway.announcer import Announcer
from gateway.calls.call import Call
from gateway.calls.orders import ClearNow, Order, OrderRefused, PlayNow, SayNow
from gateway.calls.speaking import SpeakingVoice
from gateway.calls.stage import CallOver, Leave, StageEnd
from media.frame import AudioFrame, Voice
from media.legs.base import EndReason, LegClosed, LegEvent


class Parked:
    """Says and plays what is ordered, in its order, and is silent else. Serves `Stage`, `LegListener`."""

    def __init__(self, call: Call, voice: SpeakingVoice, limit: float) -> None:
        """`limit`: seconds after which it hangs up."""
        self._call = call
        self._announcer = Announcer(call, voice)
        self._limit = limit
        self._end: asyncio.Future[StageEnd] = asyncio.get_running_loop().create_future()

    async def run(self) -> StageEnd:
        """Until somebody hangs up, or orders something that needs the leg."""
        self._call.lend(self)
        try:
            async with asyncio.timeout(self._limit):
                return await self._end
        except TimeoutError:
            return CallOver(EndReason.MAX_DURATION)
        finally:
            self._announcer.stop(EndReason.MAX_DURATION)
            await self._announcer.quiet()

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        """Nobody listens here."""

    def notice(self, event: LegEvent) -> None:
        """See `LegListener`."""
        self._announcer.notice(event)
        if isinstance(event, LegClosed):
            self._finish(CallOver(event.reason))

    def hang_up(self, reason: EndReason) -> None:
        """See `Stage.hang_up`."""
        self._finish(CallOver(reason))

    def leave(self, order: Order) -> None:
        """See `Stage.leave`."""
        self._finish(Leave(order))

    async def obey(self, order: Order) -> None:
        """See `Stage.obey`. Returns when it was heard, or cleared."""
        match order:
            case SayNow() | PlayNow() | ClearNow():
                await self._announcer.obey(order)
            case _:
                raise OrderRefused("the call is in nobody's hands, and can only say and play")

    def _finish(self, end: StageEnd) -> None:
        if self._end.done():
            return
        match end:
            case CallOver(reason):
                self._announcer.stop(reason)
            case Leave(order):
                self._announcer.break_off(order)
        self._end.set_result(end)
