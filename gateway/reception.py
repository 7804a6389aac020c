"""Takes each incoming call from its first ring to its end: admission, dialplan, a place to be heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog

from engines.base import EngineError
from gateway.calls.registry import CallRegistry, Refusal
from gateway.control.event_feed import EventFeed
from gateway.control.twilio_book import TwilioBook
from gateway.dialplan.match import Arrival
from gateway.dialplan.plan import Dialplan
from gateway.errors import CallerForbidden, DialplanError, NumberClosed, NumberUnknown, verdict
from gateway.logs import call_context
from gateway.route_run import CallParts, RouteRun, reject
from media.legs.base import EndReason, Leg

log = structlog.get_logger(__name__)

NO_RECOGNISER = "no_recogniser"
"""The label of calls refused because the recogniser had no room for another one, or does not work."""
LICENCE = "license"
"""The label of calls refused because the licence allows no more."""
_UNROUTED = {
    NumberUnknown: "number_unknown",
    CallerForbidden: "caller_forbidden",
    NumberClosed: "number_closed",
}
"""Labels of the dialplan's refusals."""


class LegWrapper(Protocol):
    """Puts something around a leg, such as a recorder."""

    def __call__(self, leg: Leg, call_id: str) -> Leg: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """What the reception works with. Whatever may change while calls run is asked for anew each time."""

    plan: Callable[[], Dialplan]
    registry: CallRegistry
    parts: CallParts
    retry_after: int
    """Seconds after which somebody may call again whom no engine could serve."""
    down: Callable[[], frozenset[str]] = frozenset
    """What does not work now: `asr`, `tts`, names of agents."""
    wrap: LegWrapper | None = None
    """Around every call."""
    tape: LegWrapper | None = None
    """Keeps the sound of one that asks for it."""
    licence: Callable[[int], str] = lambda running: ""
    """Why the licence allows no further call beside so many, or ""; never asked about one that runs."""
    overload: Callable[[int], str] = lambda running: ""
    """Which measured load would break the running calls with one more, or ""."""
    feed: EventFeed | None = None
    """Told of calls that begin, and of those that are refused."""
    book: TwilioBook | None = None
    """Told of calls that begin, and of those that left no record."""

    def admit(self, call_id: str) -> tuple[Refusal, str] | None:
        """Take a place for a call, to be given back by `attended`; else why not, and what to say of it."""
        running = len(self.registry)
        if not self.registry.draining and (why := self.overload(running)):
            return Refusal(503, self.retry_after, why), why
        if told := self.licence(len(self.registry)):
            return Refusal(503, self.retry_after, LICENCE), told
        if (refusal := self.registry.admit(call_id)) is not None:
            return refusal, refusal.reason
        return None

    @contextmanager
    def attended(self, call_id: str, leg: Leg) -> Iterator[Attendance]:
        """A call that was admitted, counted and shown to its end, however it ends."""
        started = asyncio.get_running_loop().time()
        self.parts.metrics.began(leg.direction)
        self.parts.live.began(call_id, leg.direction, leg.parties)
        if self.feed is not None:
            self.feed.began(call_id, leg.direction, leg.parties)
        if self.book is not None:
            self.book.began(call_id, leg.direction, leg.parties)
        attendance = Attendance()
        try:
            yield attendance
        finally:
            self.registry.remove(call_id)
            self.parts.live.gone(call_id)
            if self.book is not None:
                self.book.gone(call_id)
            seconds = asyncio.get_running_loop().time() - started
            self.parts.metrics.ended(leg.direction, attendance.reason, seconds)
            log.info("call over", reason=str(attendance.reason), seconds=round(seconds, 1))


@dataclass(slots=True)
class Attendance:
    """One call's end, as it will be counted."""

    reason: EndReason = EndReason.INTERNAL_ERROR


class Reception:
    """Serves every incoming leg in a task of its own; none can harm another."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, leg: Leg) -> None:
        """A leg is ringing. Returns at once."""
        task = asyncio.get_running_loop().create_task(self._serve(leg), name=f"call-{leg.leg_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Wait for the tidying of calls that are over; calls must have been drained before."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._desk.parts.session.deadlines.close * 2)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, leg: Leg) -> None:
        call_id, desk = leg.leg_id, self._desk
        with call_context(call_id):
            if (refused := desk.admit(call_id)) is not None:
                await self._refuse(leg, *refused)
                return
            with desk.attended(call_id, leg) as attendance:
                try:
                    attendance.reason = await self._route(leg, call_id)
                except Exception:
                    log.exception("call failed")
                    await leg.hangup(EndReason.INTERNAL_ERROR)

    async def _refuse(self, leg: Leg, refusal: Refusal, told: str) -> None:
        self._desk.parts.metrics.refused(refusal.reason)
        log.warning("call refused", reason=refusal.reason, sip_code=refusal.sip_code, why=told)
        self._tell_refused(leg, refusal.reason, refusal.sip_code)
        await reject(leg, refusal.sip_code, retry_after=refusal.retry_after, reason=told)

    def _tell_refused(self, leg: Leg, reason: str, code: int) -> None:
        if self._desk.feed is not None:
            self._desk.feed.refused(leg.leg_id, leg.direction, leg.parties, reason, code)

    async def _route(self, leg: Leg, call_id: str) -> EndReason:
        desk = self._desk
        plan = desk.plan()
        try:
            route = plan.route(Arrival(leg.parties, desk.parts.wall(), desk.down()))
        except DialplanError as error:
            judged = verdict(error)
            desk.parts.metrics.refused(_UNROUTED.get(type(error), "dialplan"))
            log.info("call not routed", why=str(error), sip_code=judged.sip_code)
            self._tell_refused(leg, _UNROUTED.get(type(error), "dialplan"), judged.sip_code)
            await reject(leg, judged.sip_code, reason=str(error))
            return judged.end_reason
        log.info("call routed", route=route.name, trunk=leg.parties.trunk)
        desk.parts.live.routed(call_id, route.name)
        taped = desk.wrap(leg, call_id) if desk.wrap is not None else leg
        run = RouteRun(desk.parts, taped, route, call_id, plan)
        try:
            run.reserve()
        except EngineError as error:
            log.warning("recogniser takes no call", why=str(error))
            judged = verdict(error)
            retry_after = desk.retry_after if judged.retryable else 0
            await self._refuse(leg, Refusal(judged.sip_code, retry_after, NO_RECOGNISER), NO_RECOGNISER)
            return EndReason.REJECTED
        return await run.run()
