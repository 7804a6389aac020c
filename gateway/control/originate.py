"""Calls ordered from outside: asked of the guard and of admission, then served like any other."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from engines.base import EngineError
from gateway.calls.call import Call
from gateway.calls.registry import Refusal
from gateway.calls.speaking import SpeakingVoice
from gateway.calls.stage import Stage
from gateway.control.answering import AwaitAnswer, DetectAnswerer, DetectBeside
from gateway.control.dialer import LONGEST_RING, RING_SECONDS, PlacedLeg
from gateway.control.guarded_dialer import GuardedDialer
from gateway.control.once import KeyBook, Once
from gateway.control.parked import Parked
from gateway.control.settings import ControlSettings
from gateway.dialplan.match import Match, Route
from gateway.dialplan.plan import Dialplan
from gateway.errors import AdmissionRefused, Draining, TooManyCalls
from gateway.logs import call_context
from gateway.reception import Desk
from gateway.route_run import RouteRun
from media.legs.base import EndReason

log = structlog.get_logger(__name__)

PARKED = Route("parked", Match(), ())
"""A route that does nothing: the call waits for orders."""


class Detect(StrEnum):
    """Whether to find out who answered, and what waits for it."""

    OFF = "off"
    FIRST = "first"
    """Nothing is said before it is known."""
    GREETING_END = "greeting_end"
    """... and nothing to a machine before its beep."""
    BESIDE = "beside"
    """The call goes on meanwhile; events tell."""


@dataclass(frozen=True, slots=True)
class Originate:
    """A call to place."""

    to: str
    """A number, or a SIP or tel URI."""
    route: Route = PARKED
    """What happens once it is taken."""
    plan: Dialplan | None = field(default=None, compare=False)
    """The plan whose route it is."""
    trunk: str = ""
    """"" takes the first whose rule allows it."""
    caller: str = ""
    ring_seconds: float = RING_SECONDS
    detect: Detect = Detect.OFF
    hangs_up: bool = False
    """On machines and faxes, where that is found out first."""
    tape: bool = False
    """Keep its sound, also where the node does not keep that of all calls."""

    def __post_init__(self) -> None:
        if not 1 <= self.ring_seconds <= LONGEST_RING:
            raise ValueError(f"ring_seconds: must lie between 1 and {LONGEST_RING:g}")

    @property
    def fingerprint(self) -> str:
        """The same for the same order, in every process, also when its route was changed meanwhile."""
        does = self.route.name if self.route.source else repr(self.route.actions)
        asked = (self.to, does, self.trunk, self.caller, self.ring_seconds, self.detect.value, self.hangs_up)
        return hashlib.sha256(repr((*asked, self.tape)).encode()).hexdigest()


class Originator:
    """Places calls and serves each in a task of its own. Belongs to one event loop."""

    def __init__(
        self,
        desk: Desk,
        dialer: GuardedDialer,
        settings: ControlSettings,
        new_id: Callable[[], str] = lambda: f"out-{secrets.token_hex(8)}",
        book: KeyBook | None = None,
    ) -> None:
        """`book`: where all nodes keep idempotency keys; None: here alone."""
        self._desk = desk
        self._dialer = dialer
        self._settings = settings
        self._new_id = new_id
        self._tasks: set[asyncio.Task[None]] = set()
        self._once = Once(book)

    async def place(
        self,
        order: Originate,
        *,
        owner: str = "",
        key: str = "",
        placed: Callable[[str, PlacedLeg], None] = lambda call_id, leg: None,
    ) -> str:
        """Place a call; returns its id while it is set up, events and its record tell the rest.

        `placed` is told the call's id and leg before anything is told of it. The same `key` of the same
        `owner` places one call only, and is answered with its id. Raises `DialDenied`, `DialFailed`,
        `TooManyCalls`, `Draining`, `EngineError`, and for the key as `Once.place` does.
        """
        if not key:
            return await self._place(order, placed)
        return await self._once.place(owner, key, order.fingerprint, lambda: self._place(order, placed))

    async def aclose(self) -> None:
        """Wait for the tidying of calls that are over; calls must have been drained before."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._desk.parts.session.deadlines.close * 2)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _place(self, order: Originate, placed: Callable[[str, PlacedLeg], None]) -> str:
        call_id, desk = self._new_id(), self._desk
        if (refused := desk.admit(call_id)) is not None:
            refusal, told = refused
            desk.parts.metrics.refused(refusal.reason)
            raise _refused(refusal, told)
        try:
            leg = await self._dialer.place(order.to, trunk=order.trunk, caller=order.caller)
            run = self._prepared(order, call_id, leg)
            try:
                run.reserve()
            except EngineError:
                await leg.hangup(EndReason.ENGINE_FAILED)
                raise
        except BaseException:
            desk.registry.remove(call_id)
            raise
        placed(call_id, leg)
        task = asyncio.get_running_loop().create_task(self._serve(call_id, leg, run), name=f"call-{call_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.sleep(0)  # it begins: whoever is told its id finds it
        return call_id

    def _prepared(self, order: Originate, call_id: str, leg: PlacedLeg) -> RouteRun:
        desk, settings = self._desk, self._settings

        def opening(call: Call, voice: SpeakingVoice) -> Sequence[Stage]:
            stages: list[Stage] = [AwaitAnswer(call, order.ring_seconds)]
            if order.detect in (Detect.FIRST, Detect.GREETING_END):
                waits = order.detect is Detect.GREETING_END
                stages.append(DetectAnswerer(call, settings.amd, greeting_end=waits, hangs_up=order.hangs_up))
            elif order.detect is Detect.BESIDE:
                leg.watch(DetectBeside(call, settings.amd))
            if not order.route.steps:
                stages.append(Parked(call, voice, settings.parked_seconds))
            return stages

        wrap = desk.wrap or (desk.tape if order.tape else None)
        taped = wrap(leg, call_id) if wrap is not None else leg
        return RouteRun(desk.parts, taped, order.route, call_id, order.plan or desk.plan(), opening)

    async def _serve(self, call_id: str, leg: PlacedLeg, run: RouteRun) -> None:
        with call_context(call_id), self._desk.attended(call_id, leg) as attendance:
            try:
                attendance.reason = await run.run()
            except Exception:
                log.exception("call failed")
                await leg.hangup(EndReason.INTERNAL_ERROR)


def _refused(refusal: Refusal, told: str) -> AdmissionRefused:
    cls = Draining if refusal.reason == "draining" else TooManyCalls
    return cls(f"no call is placed now: {told}", retry_after=refusal.retry_after)
