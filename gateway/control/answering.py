"""The first stages of a call of ours: it rings until it is taken, and then it is found out by whom."""

from __future__ import annotations

import asyncio

from gateway.calls.call import Call
from gateway.calls.call_events import MachineJudged
from gateway.calls.orders import Order, OrderRefused
from gateway.calls.stage import CallOver, Done, StageEnd
from media.amd import AmdSettings, Answerer, AnswerJudge
from media.clock import now
from media.frame import AudioFrame, Voice
from media.legs.base import EndReason, LegAnswered, LegClosed, LegEvent


class _Opening:
    """What both have in common: one end, for which they wait."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._end: asyncio.Future[StageEnd] = asyncio.get_running_loop().create_future()

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        """Not for us."""

    def notice(self, event: LegEvent) -> None:
        """See `LegListener`."""
        if isinstance(event, LegClosed):
            self._finish(CallOver(event.reason))

    def hang_up(self, reason: EndReason) -> None:
        """See `Stage.hang_up`."""
        self._finish(CallOver(reason))

    def leave(self, order: Order) -> None:
        """See `Stage.leave`. Nothing can begin before this is over: raises `OrderRefused`."""
        raise OrderRefused("nobody has answered yet")

    async def obey(self, order: Order) -> None:
        """See `Stage.obey`."""
        raise OrderRefused("nobody has answered yet")

    def _finish(self, end: StageEnd) -> None:
        if not self._end.done():
            self._end.set_result(end)


class AwaitAnswer(_Opening):
    """Lets the far end ring. Serves `Stage` and `LegListener`."""

    def __init__(self, call: Call, seconds: float) -> None:
        """`seconds`: how long it may ring."""
        super().__init__(call)
        self._seconds = seconds

    async def run(self) -> StageEnd:
        """Until it was taken, refused, or rang for too long."""
        self._call.lend(self)
        if self._call.answered is not None:
            return Done()
        try:
            async with asyncio.timeout(self._seconds):
                return await self._end
        except TimeoutError:
            return CallOver(EndReason.NOT_ANSWERED)

    def notice(self, event: LegEvent) -> None:
        """See `LegListener`."""
        super().notice(event)
        if isinstance(event, LegAnswered):
            self._finish(Done())


class DetectAnswerer(_Opening):
    """Listens to who answered before anything is said. Serves `Stage` and `LegListener`."""

    def __init__(self, call: Call, settings: AmdSettings, *, greeting_end: bool, hangs_up: bool) -> None:
        """`greeting_end`: wait for a machine's beep. `hangs_up`: on machines and faxes."""
        super().__init__(call)
        self._judge = AnswerJudge(settings)
        self._greeting_end = greeting_end
        self._hangs_up = hangs_up
        # Frames drive the judge; a far end that sends none must not hold the call for ever.
        self._limit = settings.beep_limit if greeting_end else settings.limit

    async def run(self) -> StageEnd:
        """Until it is clear who answered."""
        self._call.lend(self)
        try:
            async with asyncio.timeout(self._limit + 1.0):
                return await self._end
        except TimeoutError:
            return self._decided(Answerer.UNKNOWN, beep=False)

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        """See `LegListener`."""
        if self._end.done():
            return
        self._judge.hear(frame, voice)
        verdict, over = self._judge.verdict, self._judge.greeting_over
        if verdict is None:
            return
        waits = self._greeting_end and verdict.answerer is Answerer.MACHINE and not self._hangs_up
        if not waits or over is not None:
            self._finish(self._decided(verdict.answerer, beep=over is not None and over.beep))

    def _decided(self, answerer: Answerer, *, beep: bool) -> StageEnd:
        self._call.happened(MachineJudged(now(), str(answerer), beep))
        if self._hangs_up and answerer in (Answerer.MACHINE, Answerer.FAX):
            return CallOver(EndReason.DIALPLAN_HUNG_UP)
        return Done()


class DetectBeside:
    """Finds out who answered while the call goes on already. Serves `LegListener`."""

    def __init__(self, call: Call, settings: AmdSettings) -> None:
        self._call = call
        self._judge = AnswerJudge(settings)
        self._told = 0
        self._up = False

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        """See `LegListener`."""
        if not self._up or self._told >= 2:
            return
        self._judge.hear(frame, voice)
        verdict, over = self._judge.verdict, self._judge.greeting_over
        if verdict is not None and not self._told:
            self._told = 1 if verdict.answerer is Answerer.MACHINE else 2
            self._call.happened(MachineJudged(now(), str(verdict.answerer)))
        elif over is not None:
            self._told = 2
            self._call.happened(MachineJudged(now(), str(Answerer.MACHINE), over.beep))

    def notice(self, event: LegEvent) -> None:
        """See `LegListener`."""
        self._up = self._up or isinstance(event, LegAnswered)
