"""Takes each incoming call from its first ring to its record: admission, dialplan, conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import structlog

from engines.base import EngineError
from gateway.agents.base import Agent
from gateway.announcer import Announcer, CallerGone
from gateway.calls.observer import SessionObserver
from gateway.calls.registry import CallRegistry, Refusal
from gateway.calls.session import CallSession
from gateway.calls.settings import CallFacts, Engines, SessionSettings
from gateway.dialplan import Dialplan
from gateway.dialplan_actions import Answer, ConnectAgent, HangUpCall, PlayFile, Reject, Ring, SayText
from gateway.dialplan_match import Route
from gateway.errors import DialplanError, verdict
from gateway.logs import call_context
from gateway.metrics import CallMetrics
from media.legs.base import EndReason, Leg, LegError

log = structlog.get_logger(__name__)


class LegWrapper(Protocol):
    """Puts something around a leg, such as a recorder."""

    def __call__(self, leg: Leg, call_id: str) -> Leg: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """What the reception works with. Whatever may change while calls run is asked for anew each time."""

    plan: Callable[[], Dialplan]
    agent: Callable[[str], Agent]
    engines: Engines
    session: SessionSettings
    registry: CallRegistry
    observers: Sequence[SessionObserver]
    metrics: CallMetrics
    wrap: LegWrapper | None = None


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
            await asyncio.wait(self._tasks, timeout=self._desk.session.deadlines.close * 2)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, leg: Leg) -> None:
        call_id = leg.leg_id
        with call_context(call_id):
            if (refusal := self._desk.registry.admit(call_id)) is not None:
                await self._refuse(leg, refusal)
                return
            started = asyncio.get_running_loop().time()
            self._desk.metrics.began(leg.direction)
            reason = EndReason.INTERNAL_ERROR
            try:
                reason = await self._route(leg, call_id)
            except Exception:
                log.exception("call failed")
                await leg.hangup(EndReason.INTERNAL_ERROR)
            finally:
                self._desk.registry.remove(call_id)
                seconds = asyncio.get_running_loop().time() - started
                self._desk.metrics.ended(leg.direction, reason, seconds)
                log.info("call over", reason=str(reason), seconds=round(seconds, 1))

    async def _refuse(self, leg: Leg, refusal: Refusal) -> None:
        self._desk.metrics.refused(refusal.reason)
        log.warning("call refused", reason=refusal.reason, sip_code=refusal.sip_code)
        await _reject(leg, refusal.sip_code, retry_after=refusal.retry_after, reason=refusal.reason)

    async def _route(self, leg: Leg, call_id: str) -> EndReason:
        try:
            route = self._desk.plan().route(leg.parties)
        except DialplanError as error:
            judged = verdict(error)
            self._desk.metrics.refused(type(error).__name__)
            log.info("call not routed", why=str(error), sip_code=judged.sip_code)
            await _reject(leg, judged.sip_code, reason=str(error))
            return judged.end_reason
        log.info("call routed", route=route.name, trunk=leg.parties.trunk)
        if self._desk.wrap is not None:
            leg = self._desk.wrap(leg, call_id)
        return await RouteRun(self._desk, leg, route, call_id).run()


class RouteRun:
    """One call on its way through a route's actions."""

    def __init__(self, desk: Desk, leg: Leg, route: Route, call_id: str) -> None:
        self._desk = desk
        self._leg = leg
        self._route = route
        self._started = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._call_id = call_id
        self._announcer = Announcer(leg, desk.engines.tts, desk.session.language)
        self._answered = False

    @property
    def call_id(self) -> str:
        return self._call_id

    def hang_up(self, reason: EndReason) -> None:
        """End the call while it is being announced to; returns at once."""
        self._announcer.stop(reason)

    async def run(self) -> EndReason:
        """Do the actions in order; returns why the call ended."""
        self._desk.registry.add(self)
        self._leg.attach(self._announcer)
        try:
            for action in self._route.actions:
                match action:
                    case Ring(seconds):
                        await self._leg.ring()
                        await self._announcer.wait(seconds)
                    case Answer():
                        await self._answer_unless_agent_follows()
                    case SayText(text):
                        await self._announcer.say(text)
                    case PlayFile(file):
                        await self._announcer.play(file)
                    case ConnectAgent(name):
                        return await self._converse(name)
                    case Reject(code, retry_after, reason):
                        self._desk.metrics.refused("dialplan")
                        await _reject(self._leg, code, retry_after=retry_after, reason=reason)
                        return EndReason.REJECTED
                    case HangUpCall():
                        break
        except CallerGone as gone:
            await self._leg.hangup(gone.reason)
            return gone.reason
        except (LegError, EngineError, OSError, ValueError) as error:
            log.error("route failed", route=self._route.name, why=str(error))
            reason = verdict(error).end_reason
            await self._leg.hangup(reason)
            return reason
        await self._leg.hangup(EndReason.DIALPLAN_HUNG_UP)
        return EndReason.DIALPLAN_HUNG_UP

    async def _answer_unless_agent_follows(self) -> None:
        """A session answers by itself, so that it misses nothing; an announcement needs the answer now."""
        actions = self._route.actions
        following = actions[actions.index(Answer()) + 1 :]
        if following and isinstance(following[0], ConnectAgent):
            return
        await self._leg.answer()
        self._answered = True

    async def _converse(self, name: str) -> EndReason:
        facts = CallFacts(
            self._call_id,
            self._route.name,
            self._started,
            answered=self._answered,
            replies=self._announcer.replies,
        )
        desk = self._desk
        session = CallSession(self._leg, desk.engines, desk.agent(name), desk.session, facts, desk.observers)
        desk.registry.add(session)
        return (await session.run()).end_reason


async def _reject(leg: Leg, code: int, *, retry_after: int = 0, reason: str = "") -> None:
    try:
        await leg.reject(code, retry_after=retry_after, reason=reason)
    except LegError as error:
        log.info("refusal not delivered", why=error.detail)
