"""A call that waits for orders: nobody talks with the far end but whoever orders something said."""

from __future__ import annotations

import asyncio

from engines.base import EngineError
from gateway.announcer import Announcer, BrokenOff, CallerGone
from gateway.calls.call import Call
from gateway.calls.orders import ClearNow, Order, OrderRefused, PlayNow, SayNow
from gateway.calls.speaking import SpeakingVoice
from gateway.calls.stage import CallOver, Leave, StageEnd
from media.frame import AudioFrame, Voice
from media.legs.base import EndReason, LegClosed, LegEvent

_MOST_WAITING = 100


class Parked:
    """Says and plays what is ordered, in its order, and is silent else. Serves `Stage`, `LegListener`."""

    def __init__(self, call: Call, voice: SpeakingVoice, limit: float) -> None:
        """`limit`: seconds after which it hangs up."""
        self._call = call
        self._announcer = Announcer(call, voice)
        self._limit = limit
        self._end: asyncio.Future[StageEnd] = asyncio.get_running_loop().create_future()
        self._speaking: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._cleared = 0
        """Grows with each clear: what was ordered before it is not said any more."""

    async def run(self) -> StageEnd:
        """Until somebody hangs up, or orders something that needs the leg."""
        self._call.lend(self)
        try:
            async with asyncio.timeout(self._limit):
                return await self._end
        except TimeoutError:
            return CallOver(EndReason.MAX_DURATION)
        finally:
            self._clear()

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
            case SayNow(interrupt=interrupt) | PlayNow(interrupt=interrupt):
                if interrupt:
                    self._clear()
                await self._speak(order)
            case ClearNow():
                self._clear()
            case _:
                raise OrderRefused("the call is in nobody's hands, and can only say and play")

    async def _speak(self, order: SayNow | PlayNow) -> None:
        if self._waiting >= _MOST_WAITING:
            raise OrderRefused(f"{_MOST_WAITING} texts wait already; clear them first")
        number = self._cleared
        self._waiting += 1
        try:
            async with self._turn:
                if number == self._cleared and not self._end.done():
                    await self._said(order)
        finally:
            self._waiting -= 1

    async def _said(self, order: SayNow | PlayNow) -> None:
        work = (
            self._announcer.say(order.text) if isinstance(order, SayNow) else self._announcer.play(order.file)
        )
        self._speaking = task = asyncio.get_running_loop().create_task(work, name="say-order")
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
            self._speaking = None
        try:
            task.result()
        except asyncio.CancelledError:
            self._call.leg.playout.clear()
        except CallerGone:
            raise OrderRefused("the far end has hung up") from None
        except BrokenOff:
            raise OrderRefused("the call went on to something else meanwhile") from None
        except (EngineError, OSError, ValueError) as error:
            self._call.leg.playout.clear()
            raise OrderRefused(f"cannot be said: {error}") from None

    def _clear(self) -> None:
        self._cleared += 1
        if self._speaking is not None:
            self._speaking.cancel()

    def _finish(self, end: StageEnd) -> None:
        if not self._end.done():
            self._end.set_result(end)
