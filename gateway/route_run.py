"""One call on its way through a route's actions, to its end and its record."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from engines.base import Asr, AsrOptions, EngineError, Switch, TtsOptions
from gateway.agents.base import Agent
from gateway.announcer import Announcer, CallerGone
from gateway.calls.observer import Observers, SessionObserver
from gateway.calls.record import CallRecord
from gateway.calls.registry import RunningCall
from gateway.calls.session import CallSession
from gateway.calls.settings import CallFacts, Engines, SessionSettings
from gateway.calls.speaking import SpeakingVoice
from gateway.dialplan.actions import (
    Answer,
    ConnectAgent,
    HangUpCall,
    PlayFile,
    Progress,
    Reject,
    Ring,
    SayText,
)
from gateway.dialplan.match import Route
from gateway.errors import verdict
from gateway.live_calls import LiveCalls
from gateway.metrics import CallMetrics
from gateway.reserved_asr import ReservedAsr
from media.legs.base import EndReason, Leg, LegError

log = structlog.get_logger(__name__)

USUAL_RATE = 8000
"""Sample rate of nearly every leg; one with another rate gets its place at the recogniser when it is up."""


@dataclass(frozen=True, slots=True)
class CallParts:
    """What serves a call. Whatever may change while calls run is asked for anew each time."""

    agent: Callable[[str], Agent]
    engines: Engines
    session: SessionSettings
    observers: Sequence[SessionObserver]
    metrics: CallMetrics
    live: LiveCalls
    add: Callable[[RunningCall], None]
    """Makes the running call known to whoever may have to end it."""


class RouteRun:
    """Does a route's actions in order. Serves `RunningCall` until a session takes over."""

    def __init__(self, parts: CallParts, leg: Leg, route: Route, call_id: str) -> None:
        self._parts = parts
        self._leg = leg
        self._route = route
        self._call_id = call_id
        self._began = asyncio.get_running_loop().time()
        self._answered = math.nan
        self._started = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._asr: Asr = parts.engines.asr
        self._closing = AsyncExitStack()
        self._switches: list[Switch] = []
        limit = parts.engines.data
        self._limit = limit if route.data is None else limit.narrower(route.data)
        settings = parts.session
        spoken = TtsOptions(
            USUAL_RATE, settings.voice, settings.language, settings.speed,
            data=self._limit, on_switch=self._switches.append,
        )  # fmt: skip
        self._announcer = Announcer(leg, SpeakingVoice(parts.engines.tts, spoken, settings.deadlines))

    @property
    def call_id(self) -> str:
        return self._call_id

    def hang_up(self, reason: EndReason) -> None:
        """End the call while it is being announced to; returns at once."""
        self._announcer.stop(reason)

    def reserve(self) -> None:
        """Take what the route will need. Raises `EngineError` when the call could not be served."""
        if not self._route.agents:
            return
        settings = self._parts.session
        options = AsrOptions(
            settings.language, USUAL_RATE, hot_words=settings.hot_words,
            data=self._limit, on_switch=self._switches.append,
        )  # fmt: skip
        reserved = ReservedAsr(self._parts.engines.asr, options)
        self._closing.push_async_callback(reserved.aclose)
        self._asr = reserved

    async def run(self) -> EndReason:
        """Do the actions; returns why the call ended."""
        self._parts.add(self)
        self._leg.attach(self._announcer)
        async with self._closing:
            try:
                return await self._act()
            except CallerGone as gone:
                return await self._end(gone.reason)
            except (LegError, EngineError, OSError, ValueError) as error:
                log.error("route failed", route=self._route.name, why=str(error))
                return await self._end(verdict(error).end_reason)

    async def _act(self) -> EndReason:
        for action in self._route.actions:
            self._announcer.check()
            match action:
                case Ring(seconds):
                    await self._leg.ring()
                    await self._announcer.wait(seconds)
                case Progress():
                    await self._leg.ring(early_media=True)
                case Answer():
                    await self._answer_unless_agent_follows()
                case SayText(text):
                    await self._announcer.say(text)
                case PlayFile(file):
                    await self._announcer.play(file)
                case ConnectAgent(name):
                    return await self._converse(name)
                case Reject():
                    return await self._reject(action)
                case HangUpCall(cause):
                    return await self._end(EndReason.DIALPLAN_HUNG_UP, cause)
        return await self._end(EndReason.DIALPLAN_HUNG_UP)

    async def _answer_unless_agent_follows(self) -> None:
        """A session answers by itself, so that it misses nothing; an announcement needs the answer now."""
        actions = self._route.actions
        following = actions[actions.index(Answer()) + 1 :]
        if following and isinstance(following[0], ConnectAgent):
            return
        await self._leg.answer()
        self._answered = asyncio.get_running_loop().time()
        self._parts.live.announcing(self._call_id)

    async def _converse(self, name: str) -> EndReason:
        parts = self._parts
        facts = CallFacts(
            self._call_id,
            self._route.name,
            self._started,
            answered=not math.isnan(self._answered),
            replies=self._announcer.replies,
            switches=self._switches,
        )
        engines = replace(parts.engines, asr=self._asr, data=self._limit)
        agent = parts.agent(name)
        session = CallSession(self._leg, engines, agent, parts.session, facts, parts.observers)
        self._announcer.hand_over(session)
        parts.live.connected(self._call_id, name)
        parts.add(session)
        return (await session.run()).end_reason

    async def _reject(self, action: Reject) -> EndReason:
        self._parts.metrics.refused("dialplan")
        await reject(self._leg, action.code, retry_after=action.retry_after, reason=action.reason)
        return EndReason.REJECTED

    async def _end(self, reason: EndReason, cause: int = 0) -> EndReason:
        """Hang up a call that no session ended, and leave its record."""
        ended = asyncio.get_running_loop().time()
        await self._leg.hangup(reason, cause=cause)
        await self._announcer.closed(self._parts.session.deadlines.close)
        record = CallRecord(
            self._call_id, self._leg.direction, self._leg.parties, self._route.name, self._started
        )
        record.end_reason = reason
        record.began = self._began
        record.note_switches(self._switches)
        record.leg = self._leg.stats()
        if not math.isnan(self._answered):
            record.sample_rate = self._leg.sample_rate
            record.codec = str(record.leg.get("codec", ""))
            record.answered_after = self._answered - self._began
            record.duration = ended - self._answered
        Observers(self._parts.observers).tell(lambda o: o.ended(record))
        return reason


async def reject(leg: Leg, code: int, *, retry_after: int = 0, reason: str = "") -> None:
    """Refuse a call that was not answered; that it is over already does no harm."""
    try:
        await leg.reject(code, retry_after=retry_after, reason=reason)
    except LegError as error:
        log.info("refusal not delivered", why=error.detail)
