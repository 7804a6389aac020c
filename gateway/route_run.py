"""One call on its way through a route's actions, to its end and its record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias, assert_never

import structlog

from engines.base import Asr, AsrOptions, TtsOptions
from gateway.actions.connected import connect
from gateway.actions.flow import Away, Flow, OnStep, Reach
from gateway.actions.joined import Meeting
from gateway.actions.line import Ears, Line, StepFailed, first_values
from gateway.actions.referred import Transfers, number_of, refuse
from gateway.agents.base import Agent
from gateway.agents.handoff import brief
from gateway.agents.sound import SoundAgent
from gateway.announcer import Announcer, BrokenOff, CallerGone
from gateway.calls.call import Call
from gateway.calls.call_events import RouteTaken, StageBegan
from gateway.calls.observer import SessionObserver
from gateway.calls.orders import (
    BridgeCall,
    BridgeDial,
    CallHandle,
    ClearNow,
    CollectKeys,
    End,
    GoTo,
    Hold,
    Mute,
    Order,
    OrderRefused,
    PlayNow,
    RunTwiml,
    SayNow,
    SendKeys,
    SwitchAgent,
    SwitchLanguage,
    TransferAttended,
    TransferBlind,
)
from gateway.calls.session import CallSession
from gateway.calls.settings import CallFacts, Engines, SessionSettings
from gateway.calls.sound_stage import SoundStage
from gateway.calls.speaking import SpeakingVoice
from gateway.calls.stage import CallOver, Done, Leave, Stage, StageEnd
from gateway.control.dialer import TransferGuard
from gateway.dialplan.actions import Reject
from gateway.dialplan.match import Arrival, Route
from gateway.dialplan.plan import Dialplan
from gateway.errors import DialDenied, DialFailed, DialplanError, GatewayError
from gateway.leg_orders import LegOrders
from gateway.live_calls import LiveCalls
from gateway.metrics import CallMetrics
from gateway.reserved_asr import ReservedAsr
from gateway.webrtc_settings import TRUNK as BROWSERS
from media.clock import now
from media.legs.base import EndReason, Leg, LegError, TransferAsked
from media.legs.sip_messages import user_part

log = structlog.get_logger(__name__)

USUAL_RATE = 8000
"""Sample rate of nearly every leg; one with another rate gets its place at the recogniser when it is up."""

_LOST = frozenset({EndReason.DEAD_AIR, EndReason.ENGINE_FAILED, EndReason.INTERNAL_ERROR})
"""Ends of a conversation that the caller did not bring about, and may survive."""

_LAST_WORDS = 60.0
"""Seconds that a route has beyond the longest conversation, for what comes before and after it."""


@dataclass(frozen=True, slots=True)
class CallParts:
    """What serves a call. Whatever may change while calls run is asked for anew each time."""

    agent: Callable[[str], Agent | SoundAgent]
    engines: Engines
    session: SessionSettings
    observers: Sequence[SessionObserver]
    metrics: CallMetrics
    live: LiveCalls
    add: Callable[[CallHandle], None]
    """Makes the running call known to whoever may have to touch it."""
    own_ears: frozenset[str] = frozenset()
    """Agents that hear by themselves: a call that meets no others needs no place at the recogniser."""
    folder: Path = Path("recordings")
    """Where recordings of routes go."""
    wall: Callable[[], datetime] = lambda: datetime.now(UTC)
    """The time, with its zone."""
    reach: Callable[[], Reach] = Reach
    """What routes may reach beyond this node."""
    on_step: OnStep = lambda step, values: None
    """Told of each action of a route when its turn comes, with the call's variables."""
    transfers: TransferGuard | None = None
    """Whether a far end may be sent elsewhere; None: never."""
    find: Callable[[str], CallHandle | None] = lambda call_id: None
    """The running call of an id."""


Opening: TypeAlias = Callable[[Call, SpeakingVoice], Sequence[Stage]]
"""The stages that a call of ours has before its route: it rings, and it is found out who answered."""


class RouteRun:
    """Does a route's actions, and what is ordered meanwhile. Serves `CallHandle` and `Crew`."""

    def __init__(
        self,
        parts: CallParts,
        leg: Leg,
        route: Route,
        call_id: str,
        plan: Dialplan | None = None,
        opening: Opening = lambda call, voice: (),
    ) -> None:
        """`plan`: the whole one that the call began with, for its `goto`s and its fallback."""
        self._parts = parts
        self._route = route
        self._plan = plan or Dialplan((route,))
        started = parts.wall().astimezone(UTC).isoformat(timespec="milliseconds")
        facts = CallFacts(call_id, route.name, started, self._plan.headers)
        self._call = Call(leg, facts, parts.observers)
        self._leg: Leg = self._call.leg
        self._asr: Asr = parts.engines.asr
        self._closing = AsyncExitStack()
        limit = parts.engines.data
        self._limit = limit if route.data is None else limit.narrower(route.data)
        settings = parts.session
        spoken = TtsOptions(
            USUAL_RATE, settings.voice, settings.language, settings.speed,
            data=self._limit, on_switch=self._call.facts.switches.append,
        )  # fmt: skip
        self._voice = SpeakingVoice(parts.engines.tts, spoken, settings.deadlines)
        self._announcer = Announcer(self._call, self._voice)
        self._leg_orders = LegOrders(self._call, parts.transfers)
        self._opening = opening(self._call, self._voice)
        self._cause = 0
        """Q.850 cause that was ordered with the end."""
        self._joining: Leg | Meeting | None = None
        """Whom an order has dialled or named, until he is connected."""
        self._stage: Stage | None = None
        """The conversation that has the leg now; None: the route's own actions have it."""
        self._steer: Callable[[RunTwiml], None] | None = None
        """Takes orders for other documents while TwiML has the call."""

    def reserve(self) -> None:
        """Take what the route will need. Raises `EngineError` when the call could not be served."""
        if not set(self._route.agents) - self._parts.own_ears:
            return
        settings = self._parts.session
        options = AsrOptions(
            settings.language, USUAL_RATE, hot_words=settings.hot_words,
            data=self._limit, on_switch=self._call.facts.switches.append,
        )  # fmt: skip
        reserved = ReservedAsr(self._parts.engines.asr, options)
        self._closing.push_async_callback(reserved.aclose)
        self._asr = reserved

    async def run(self) -> EndReason:
        """Do the actions; returns why the call ended."""
        self._parts.add(self)
        self._call.open()
        self._call.lend(self._announcer)
        self._call.happened(RouteTaken(now(), self._route.name))
        end = CallOver(EndReason.INTERNAL_ERROR)
        async with self._closing:
            try:
                self._line = self._open_line()
                self._closing.push_async_callback(self._line.aclose)
                self._call.asked = self._asked
                self._closing.callback(self._limited().cancel)
                opened = await self._open()
                if isinstance(opened, CallOver):
                    end = opened
                else:
                    end = await self._flow().run(self._route, opened.order if opened else None)
            except CallerGone as gone:
                end = CallOver(gone.reason)
            finally:
                self._announcer.stop(end.reason)
                if isinstance(self._joining, Meeting):
                    self._joining.part()
                elif self._joining is not None:  # he was dialled for a call that is over
                    await self._joining.hangup(EndReason.CANCELLED)
                if end.reason is not EndReason.REJECTED:
                    limit = self._parts.session.deadlines.close
                    await self._call.close(end.reason, cause=end.cause or self._cause, limit=limit)
        return end.reason

    # -------------------------------------------------------------------------------------- its actions

    def _flow(self) -> Flow:
        parts = self._parts
        return Flow(
            self._plan, self._line, self, parts.reach(), parts.session.phrases.failure_goodbye, parts.on_step
        )

    def _limited(self) -> asyncio.TimerHandle:
        """No route goes on for ever. A conversation ends by itself before, with a word of goodbye."""
        guards = self._parts.session.turns.guards
        seconds = guards.max_duration + guards.goodbye + _LAST_WORDS
        return asyncio.get_running_loop().call_later(seconds, self.hang_up, EndReason.MAX_DURATION)

    def _open_line(self) -> Line:
        parts, call = self._parts, self._call
        ears = Ears(self._asr, parts.session, self._limit, call.facts.switches.append)
        values = first_values(call, self._route.name)
        transfers = Transfers(parts.transfers, self._route_of)
        return Line(call, self._announcer, ears, parts.folder, parts.wall, values, transfers)

    def _route_of(self, asked: TransferAsked) -> str:
        """The route that a number of our own leads this call to; "" for none."""
        caller, called = number_of(self._leg), user_part(asked.target)
        parties = replace(self._leg.parties, caller=caller, called=called)
        arrival = Arrival(parties, self._parts.wall())
        try:
            return self._plan.route(arrival).name
        except DialplanError as error:
            log.info("a transfer leads to no route", why=str(error))
            return ""

    def _asked(self, asked: TransferAsked) -> None:
        """The far end asks us to call somebody in its place."""
        if self._line.connection is not None:
            self._line.connection.asked(self._leg, asked)
        else:
            log.info("a transfer was asked for, and nobody is connected who could be transferred")
            self._line.spawn(refuse(self._leg))

    async def _open(self) -> CallOver | Leave | None:
        """What comes before the route; None when the route may begin."""
        for stage in self._opening:
            match await self._perform(stage):
                case CallOver() | Leave() as end:
                    return end
        return None

    async def answer(self) -> None:
        """See `Crew.answer`."""
        if self._call.answered is None:
            await self._call.answer()
            self._parts.live.announcing(self._call.call_id)

    async def reject(self, action: Reject) -> None:
        """See `Crew.reject`."""
        self._parts.metrics.refused("dialplan")
        await reject(self._leg, action.code, retry_after=action.retry_after, reason=action.reason)

    async def transfer(self, target: str, seconds: float) -> None:
        """See `Crew.transfer`."""
        await self.obey(TransferBlind(target, seconds))
        self._announcer.check()

    async def talk(self, agent: Agent | SoundAgent, kind: str) -> StageEnd:
        """See `Talker.talk`."""
        self._parts.live.connected(self._call.call_id, kind)
        end = await self._perform(self._stage_of(agent, covered=True, hasty=True))
        if isinstance(end, Leave):  # for another route, another agent, somebody else: the documents are over
            raise BrokenOff(end.order)
        return end

    def steered(self, steer: Callable[[RunTwiml], None] | None) -> None:
        """See `TwimlCrew.steered`."""
        self._steer = steer

    async def converse(self, agent: str, *, covered: bool, hasty: bool, handoff: str = "") -> Away | None:
        """See `Crew.converse`. Agents may hand over to one another, with a note (`handoff`)."""
        handed: str | None = agent
        while handed is not None:
            taking = self._parts.agent(handed)
            brief(taking, handoff)
            stage = self._stage_of(taking, covered=covered, hasty=hasty)
            self._call.happened(StageBegan(now(), "agent", handed))
            self._parts.live.connected(self._call.call_id, handed)
            match await self._perform(stage):
                case CallOver(reason) as over:
                    if reason in _LOST and covered and self._call.closed is None:
                        raise StepFailed("the conversation could not go on", "agent", reason)
                    return over
                case Leave(SwitchAgent(agent, note)):
                    handed, handoff = agent, note
                case Leave(End(reason, cause)):
                    return CallOver(reason, cause)
                case Leave(GoTo() | RunTwiml() as away):
                    return away
                case Leave(BridgeDial() | BridgeCall()):
                    await self.join()
                    handed = None
                case Leave(order):
                    log.error("nothing follows an order", order=type(order).__name__)
                    return CallOver(EndReason.INTERNAL_ERROR)
                case Done():
                    handed = None
        return None

    def _stage_of(self, agent: Agent | SoundAgent, *, covered: bool, hasty: bool) -> Stage:
        parts = self._parts
        settings = parts.session
        if covered:
            settings = replace(settings, phrases=replace(settings.phrases, failure_goodbye=""))
        if hasty:
            guards = replace(settings.turns.guards, failures=1)
            settings = replace(settings, turns=replace(settings.turns, guards=guards))
        if isinstance(agent, SoundAgent):
            return SoundStage(self._call, agent, settings, self.obey, self._voice)
        engines = replace(parts.engines, asr=self._asr, data=self._limit)
        return CallSession(self._call, engines, agent, settings, self.obey)

    async def _perform(self, stage: Stage) -> StageEnd:
        """Let a stage have the leg until it is over. Raises `CallerGone`."""
        await self._announcer.quiet()
        self._announcer.check()
        self._stage = stage
        try:
            return await stage.run()
        finally:
            self._stage = None
            self._call.lend(self._announcer)

    # ---------------------------------------------------------------------------------------- its orders

    @property
    def call_id(self) -> str:
        """The call's name in logs, records and the API."""
        return self._call.call_id

    def hang_up(self, reason: EndReason) -> None:
        """End the call, whatever it is doing; returns at once."""
        self._announcer.stop(reason)
        if self._stage is not None:
            self._stage.hang_up(reason)

    async def obey(self, order: Order) -> None:
        """Do what was asked; returns when it is done. Raises `OrderRefused`."""
        if not isinstance(order, End) and (self._announcer.ending or self._call.closed is not None):
            raise OrderRefused("the call is ending")
        match order:
            case SayNow() | PlayNow() | ClearNow() if self._stage is None:
                await self._announcer.obey(order)
            case SayNow() | PlayNow() | ClearNow() | CollectKeys() | Mute() | SwitchLanguage():
                await self._staged().obey(order)
            case SendKeys(digits):
                await self._leg_orders.send_keys(digits)
            case End(reason, cause):
                self._cause = cause
                self.hang_up(reason)
            case SwitchAgent(agent):
                self._parts.agent(agent)  # raises before anything is broken off
                self._staged().leave(order)
            case Hold(on):
                await self._leg_orders.hold(on)
            case TransferBlind(target, deadline) if self._leg.parties.trunk == BROWSERS:
                # A browser cannot be sent elsewhere: both are brought together here.
                await self._dial(BridgeDial(target, ring_seconds=deadline))
            case TransferBlind():
                await self._leg_orders.transfer(order)
                self.hang_up(EndReason.TRANSFERRED)
            case TransferAttended(call_id, deadline):
                await self._leg_orders.transfer_to(self._other(call_id)._call, deadline)
                self.hang_up(EndReason.TRANSFERRED)
            case GoTo(route):
                if self._plan.named(route) is None:
                    raise OrderRefused(f"no route is called {route}")
                self._leave(order)
            case RunTwiml():
                self._run_twiml(order)
            case BridgeDial():
                await self._dial(order)
            case BridgeCall(call_id):
                self._meet(self._other(call_id))
            case _:
                assert_never(order)

    def _run_twiml(self, order: RunTwiml) -> None:
        if self._steer is None:
            self._leave(order)
            return
        try:
            self._steer(order)
        except GatewayError as error:
            raise OrderRefused(str(error)) from error

    def _leave(self, order: Order) -> None:
        """Break off whatever the call is doing, for this."""
        if not self._announcer.free:
            raise OrderRefused("the call is going on to something else already")
        if self._stage is not None:
            self._stage.leave(order)
        else:
            self._announcer.break_off(order)

    async def _dial(self, order: BridgeDial) -> None:
        """Call somebody while the call goes on; once he answers, it is connected with him."""
        dialer = self._parts.reach().dialer
        if dialer is None:
            raise OrderRefused("no calls can be placed here")
        try:
            leg = await self._announcer.until(
                dialer.dial(
                    order.target, trunk=order.trunk, caller=order.caller, ring_seconds=order.ring_seconds
                )
            )
            if self._call.closed is not None or not self._announcer.free:  # at the same moment
                await leg.hangup(EndReason.CANCELLED)
                raise OrderRefused("the call went on to something else meanwhile")
        except (CallerGone, BrokenOff):
            raise OrderRefused("the call went on to something else meanwhile") from None
        except (DialDenied, DialFailed) as error:
            raise OrderRefused(str(error), sip_code=getattr(error, "sip_code", 0)) from error
        self._joining = leg
        self._leave(order)

    async def join(self) -> None:
        """See `Crew.join`."""
        other, self._joining = self._joining, None
        if isinstance(other, Meeting):
            await other.attend(self._line)
        elif other is not None:
            with suppress(StepFailed):  # the other one left; the call goes on as if he had hung up
                await connect(self._line, other)

    def _other(self, call_id: str) -> RouteRun:
        """Another call that is up. Raises `OrderRefused`, also when this one is not."""
        other = self._parts.find(call_id)
        if not isinstance(other, RouteRun) or other is self:
            raise OrderRefused("no other call of that id is running here")
        for run in (self, other):
            if run._call.answered is None or run._call.closed is not None:
                raise OrderRefused(f"call {run.call_id} is not up")
        return other

    def _meet(self, other: RouteRun) -> None:
        """Both leave what they are doing, and are connected."""
        for run in (self, other):
            if run._joining is not None or not run._announcer.free:
                raise OrderRefused(f"call {run.call_id} is going on to something else already")
        meeting = Meeting(self._line, other._line)
        for run, guest in ((self, other), (other, self)):
            run._joining = meeting
            run._leave(BridgeCall(guest.call_id))

    def _staged(self) -> Stage:
        if self._stage is None:
            raise OrderRefused("the call is not in a conversation")
        return self._stage


async def reject(leg: Leg, code: int, *, retry_after: int = 0, reason: str = "") -> None:
    """Refuse a call that was not answered; that it is over already does no harm."""
    try:
        await leg.reject(code, retry_after=retry_after, reason=reason)
    except LegError as error:
        log.info("refusal not delivered", why=error.detail)
