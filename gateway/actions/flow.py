"""A route's way through its actions: what follows what, what follows a failure, and that it ends.

Nothing in a plan can hang a call or leave it in silence: every action has its deadline, a failure leads to
the action's fallback, then to the plan's, then to a phrase that was spoken beforehand; steps are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeAlias, assert_never

import structlog

from engines.base import EngineError
from gateway.actions import steps_ask, steps_reach
from gateway.actions.line import Line, StepFailed
from gateway.actions.webhook import PlanHooks
from gateway.agents.base import AgentError
from gateway.announcer import BrokenOff, CallerGone
from gateway.calls.call_events import RouteTaken, StageBegan
from gateway.calls.orders import BridgeCall, BridgeDial, GoTo, Order, OrderRefused, RunTwiml, SwitchAgent
from gateway.calls.stage import CallOver
from gateway.control.dialer import Dialer
from gateway.dialplan import variables
from gateway.dialplan.actions import (
    Answer,
    ConnectAgent,
    GoToRoute,
    HangUpCall,
    PlayFile,
    Progress,
    Reject,
    Ring,
    SayText,
    SetVariables,
)
from gateway.dialplan.actions_ask import Gather, Menu, Record, Voicemail
from gateway.dialplan.actions_reach import Bridge, Transfer, Twiml, Webhook
from gateway.dialplan.match import Route
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.steps import Step, Steps
from gateway.errors import GatewayError, verdict
from gateway.twiml.node import TwimlCrew, TwimlNode
from media.clock import now
from media.legs.base import EndReason, LegError

log = structlog.get_logger(__name__)

MOST_STEPS = 200
"""Actions of one call; a plan that wants more runs in a circle."""
MOST_JUMPS = 50
"""`goto`s of one call."""
FAILURES = (StepFailed, LegError, EngineError, AgentError, GatewayError, OrderRefused, OSError, ValueError)
"""What an action may raise that the call survives."""

Away: TypeAlias = CallOver | GoTo | RunTwiml
"""What leads out of a list of actions: the call's end, another route, an app."""
Then: TypeAlias = Away | Steps | None
"""What follows an action: a way out, a branch, or the next action."""


OnStep: TypeAlias = Callable[[Step, Mapping[str, str]], None]


class Crew(TwimlCrew, Protocol):
    """What a route needs of whoever runs the call."""

    async def converse(self, agent: str, *, covered: bool, hasty: bool, handoff: str = "") -> Away | None:
        """Let an agent talk; None when it is done with the call that goes on.

        `handoff`: what it should know, in words.

        `covered`: something follows a failure, so no goodbye is said. `hasty`: it follows the first one, no
        second try is waited for. Raises `CallerGone`, and `StepFailed` when the agent or what it needs is
        lost.
        """

    async def join(self) -> None:
        """Connect the caller with whom an order has dialled or named, until one leaves.

        Raises `CallerGone`, `BrokenOff`.
        """


@dataclass(frozen=True, slots=True)
class Reach:
    """What lies beyond the node, for routes that may reach there; None where nothing does."""

    dialer: Dialer | None = None
    hooks: PlanHooks | None = None
    twiml: TwimlNode | None = None


class Exhausted(Exception):
    """The call did more than any sound plan asks for."""


class Flow:
    """One call's way through its plan, which it keeps to the end whatever is read meanwhile."""

    def __init__(
        self,
        plan: Dialplan,
        line: Line,
        crew: Crew,
        reach: Reach,
        apology: str = "",
        on_step: OnStep = lambda step, values: None,
    ) -> None:
        """`apology`: said when something failed that nothing else follows. `on_step`: told of each action."""
        self._on_step = on_step
        self._plan = plan
        self._line = line
        self._crew = crew
        self._reach = reach
        self._apology = apology
        self._taken = 0
        self._jumps = 0
        self._early = False
        self._resorting = False

    async def run(self, route: Route, order: Order | None = None) -> CallOver:
        """Do the route, and those it leads to. Raises `CallerGone`.

        `order`: what was ordered before the route could begin, in its place.
        """
        try:
            while True:
                try:
                    end = await (self._steps(route.steps) if order is None else self._obeyed(order))
                    order = None
                    if isinstance(end, RunTwiml):
                        end = await self._ordered(end)
                    if not isinstance(end, GoTo):
                        await self._last_orders()
                        return end or CallOver(EndReason.DIALPLAN_HUNG_UP)
                    route = self._jump(end.route)
                except BrokenOff as broken:
                    order = broken.order
        except Exhausted as error:
            log.error("the route runs in a circle", route=route.name, why=str(error))
            await self._apologise()
            return CallOver(EndReason.INTERNAL_ERROR)

    async def _last_orders(self) -> None:
        """What somebody outside wanted said is said before the end. Raises `BrokenOff`."""
        await self._line.announcer.quiet()
        with suppress(CallerGone):
            self._line.announcer.check()

    async def _obeyed(self, order: Order) -> Away | None:
        """Somebody outside has another use for the call than the action that was running."""
        self._line.announcer.go_on()
        self._line.call.leg.playout.clear()
        match order:
            case GoTo() | RunTwiml():
                return order
            case BridgeDial() | BridgeCall():
                await self._crew.join()
            case SwitchAgent(agent, handoff):
                return await self._crew.converse(agent, covered=False, hasty=False, handoff=handoff)
        return None

    async def _ordered(self, order: RunTwiml) -> CallOver:
        """Somebody outside gave the call to an app; the plan has no more say in it."""
        try:
            return await self._twiml(order)
        except FAILURES as error:
            log.warning("an app that was ordered failed", why=str(error))
            await self._apologise()
            return CallOver(verdict(error).end_reason)

    async def _twiml(self, action: Twiml | RunTwiml) -> CallOver:
        """Raises `CallerGone`, and `TwimlError` when the app cannot serve."""
        if self._reach.twiml is None:
            raise StepFailed("no app can be asked here", "twiml")
        self._line.call.happened(StageBegan(now(), "twiml"))
        return await self._reach.twiml.run(self._line, self._crew, self._reach.dialer, action)

    def _jump(self, name: str) -> Route:
        self._jumps += 1
        found = self._plan.named(name)
        if self._jumps > MOST_JUMPS:
            raise Exhausted(f"more than {MOST_JUMPS} jumps")
        if found is None:
            raise Exhausted(f"no route is called {name}")
        self._line.set("route", name)
        self._line.call.happened(RouteTaken(now(), name))
        return found

    async def _steps(self, steps: Steps) -> Away | None:
        for number, step in enumerate(steps):
            self._line.announcer.check()
            self._taken += 1
            self._on_step(step, self._line.values)
            if self._taken > MOST_STEPS:
                raise Exhausted(f"more than {MOST_STEPS} actions")
            then = await self._step(step, steps[number + 1 :])
            if isinstance(then, tuple):
                then = await self._steps(then)
            if then is not None:
                return then
        return None

    async def _step(self, step: Step, following: Sequence[Step]) -> Then:
        try:
            return await self._do(step, following)
        except FAILURES as error:
            return await self._failed(step, error)

    async def _failed(self, step: Step, error: Exception) -> Then:
        """An action failed: its own fallback, else the plan's, else an apology and the end."""
        judged = verdict(error)
        reason = error.reason if isinstance(error, StepFailed) else judged.end_reason
        if reason is EndReason.REJECTED:  # what we were refused, not what we refuse: the call was taken
            reason = EndReason.DIALPLAN_HUNG_UP
        told = str(error) if not isinstance(error, ValueError | OSError) else type(error).__name__
        log.warning("action failed", action=step.word, where=f"{step.spot.source}:{step.spot.line}", why=told)
        log.debug("action failed", detail=str(error))
        self._line.set("failure", _word(error))
        if isinstance(step.action, Answer):
            return CallOver(reason)  # there is nobody to fall back for
        if step.fallback:
            return step.fallback
        if self._resorting:
            return None  # the next action of the fallback may still work
        self._resorting = True
        if not self._plan_speaks:
            await self._apologise()
        if self._plan.fallback:
            end = await self._steps(self._plan.fallback)
            if isinstance(end, GoTo | RunTwiml):
                self._resorting = False
                return end
            if isinstance(end, CallOver) and end.reason is not EndReason.DIALPLAN_HUNG_UP:
                return end
            return CallOver(reason, end.cause if end is not None else 0)
        if not self._up:
            await self._crew.reject(Reject(judged.sip_code))
            return CallOver(EndReason.REJECTED)
        return CallOver(reason)

    @property
    def _plan_speaks(self) -> bool:
        """Whether the plan's fallback does more than hang up."""
        return any(not isinstance(step.action, HangUpCall) for step in self._plan.fallback)

    async def _apologise(self) -> None:
        """The last words, where any voice is left; they were spoken beforehand, into the cache."""
        if self._up and self._apology:
            with suppress(*FAILURES):
                await self._line.announcer.phrase(self._apology)

    @property
    def _up(self) -> bool:
        return self._line.call.answered is not None

    async def _audible(self) -> None:
        """A fallback may have to speak to somebody whose call was not answered yet."""
        if not self._early:
            await self._crew.answer()

    # -- the actions ----------------------------------------------------------------------------------

    async def _do(self, step: Step, following: Sequence[Step]) -> Then:
        action, line = step.action, self._line
        match action:
            case Ring(seconds):
                if not self._up:
                    await line.call.leg.ring()
                    await line.announcer.wait(seconds)
            case Progress():
                if not self._up:
                    await line.call.leg.ring(early_media=True)
                    self._early = True
            case Answer():
                # A conversation answers by itself, so that it misses nothing.
                if not (following and isinstance(following[0].action, ConnectAgent)):
                    await self._crew.answer()
            case Reject():
                return await self._reject(action)
            case HangUpCall(cause):
                return CallOver(EndReason.DIALPLAN_HUNG_UP, cause)
            case SetVariables(values):
                for name, text in values.items():
                    line.set(name, variables.fill(text, line.values, variables.plain))
            case GoToRoute(route):
                return GoTo(route)
            case ConnectAgent(agent):
                covered = bool(step.fallback) or self._plan_speaks
                return await self._crew.converse(agent, covered=covered, hasty=bool(step.fallback))
            case Twiml():
                return await self._twiml(action)
            case SayText(text, language, voice):
                await self._audible()
                await line.announcer.say(line.spoken(text), language=language, voice=voice)
            case PlayFile(file):
                await self._audible()
                await line.announcer.play(file)
            case Gather() | Menu() | Record() | Voicemail() | Bridge() | Transfer() | Webhook():
                return await self._stage(step)
            case _:
                assert_never(action)
        return None

    async def _reject(self, action: Reject) -> CallOver:
        if self._up:
            return CallOver(EndReason.DIALPLAN_HUNG_UP)
        await self._crew.reject(action)
        return CallOver(EndReason.REJECTED)

    async def _stage(self, step: Step) -> Then:
        """What takes its time and asks or reaches somebody."""
        action, line, reach = step.action, self._line, self._reach
        line.call.happened(StageBegan(now(), step.word))
        if not isinstance(action, Webhook):
            await self._crew.answer()
        match action:
            case Gather():
                return await steps_ask.ask(line, step, action)
            case Menu():
                return await steps_ask.choose(line, step, action)
            case Record():
                return await steps_ask.record(line, step, action)
            case Voicemail():
                return await steps_ask.voicemail(line, step, action, reach.hooks)
            case Bridge():
                await steps_reach.bridge(line, reach.dialer, action)
            case Transfer(how="bridge"):
                bridge = Bridge(action.to, action.trunk, action.caller, action.ring_seconds)
                await steps_reach.bridge(line, reach.dialer, bridge)
                return CallOver(EndReason.TRANSFERRED)
            case Transfer():
                await self._crew.transfer(steps_reach.target(line, action.to), action.ring_seconds)
            case Webhook():
                return await steps_reach.webhook(line, step, action, reach.hooks)
        return None


def _word(error: Exception) -> str:
    """One word for the variable `failure`."""
    if isinstance(error, StepFailed):
        return error.failure
    if isinstance(error, EngineError):
        return "engine"
    sip_code = int(getattr(error, "sip_code", 0))
    if isinstance(error, LegError | OrderRefused | GatewayError) and sip_code:
        return steps_reach.failure_word(sip_code)
    return "denied" if getattr(error, "reason", "") else "failed"
