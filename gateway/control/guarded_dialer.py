"""Calls of ours: asked of the guard, placed, watched until they are over, and paid minute by minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

import structlog

from gateway.control.dialer import LONGEST_RING, RING_SECONDS, PlacedLeg, Placer
from gateway.control.guard import Guard, Permit, Spent
from gateway.control.trunk_address import uri_of
from gateway.errors import DialDenied, DialFailed
from media.clock import now
from media.frame import AudioFrame, Voice
from media.legs.base import (
    EndReason,
    LegAnswered,
    LegClosed,
    LegError,
    LegEvent,
    LegRinging,
    TransferAsked,
)
from media.legs.sip_identity import header_problem
from media.legs.sip_settings import TrunkSettings

log = structlog.get_logger(__name__)

_MINUTE = 60.0
_GIVEN_UP = 5.0
"""Seconds for a call that was given up to be over."""
NOT_ANSWERED = 408


class Totals(Protocol):
    """What all nodes have used; `gateway.store.outbound.OutboundTotals` is one."""

    async def add(self, trunk: str, day: str, minutes: int, cost: int) -> None: ...

    async def read(self, trunk: str, day: str) -> Spent: ...


class GuardedDialer:
    """Serves `Dialer` and `TransferGuard`. Belongs to one event loop."""

    def __init__(
        self,
        guard: Guard,
        placer: Placer,
        trunks: Mapping[str, TrunkSettings],
        totals: Totals,
        wall: Callable[[], datetime],
        denied: Callable[[str, str, str, str], None] = lambda trunk, target, caller, reason: None,
    ) -> None:
        """`wall`: the time, UTC. `denied` is told of each refusal: trunk, target, caller, reason."""
        self._guard = guard
        self._placer = placer
        self._trunks = trunks
        self._totals = totals
        self._wall = wall
        self._denied = denied
        self._tasks: set[asyncio.Task[None]] = set()

    async def dial(
        self,
        target: str,
        *,
        trunk: str = "",
        caller: str = "",
        ring_seconds: float = RING_SECONDS,
        on_ringing: Callable[[LegRinging], None] | None = None,
    ) -> PlacedLeg:
        """See `Dialer.dial`."""
        call, leg = await self._begin(target, trunk, caller, on_ringing)
        await self._answered(call, leg, min(max(ring_seconds, 1.0), LONGEST_RING))
        return leg

    async def place(self, target: str, *, trunk: str = "", caller: str = "") -> PlacedLeg:
        """The same, but return while the call is set up; whoever wants the answer attaches himself.

        Raises `DialDenied`, and `DialFailed` when it could not even be placed.
        """
        return (await self._begin(target, trunk, caller, None))[1]

    async def dial_asked(
        self, asked: TransferAsked, *, trunk: str, on_ringing: Callable[[LegRinging], None]
    ) -> PlacedLeg:
        """See `TransferGuard.dial_asked`."""
        call, leg = await self._begin(asked.target, trunk, "", on_ringing, asked)
        await self._answered(call, leg, call.permit.rule.refer_ring_seconds)
        return leg

    async def _begin(
        self,
        target: str,
        trunk: str,
        caller: str,
        on_ringing: Callable[[LegRinging], None] | None,
        asked: TransferAsked | None = None,
    ) -> tuple[_OutboundCall, PlacedLeg]:
        day = self._day()
        for rule in self._guard.trunks(trunk):
            self._guard.learn(rule, day, await self._totals.read(rule, day))
        try:
            permit = self._guard.admit(trunk, target, caller, now(), self._day())
        except DialDenied as denied:
            self._tell_denied(denied, trunk, target, caller)
            raise
        call = _OutboundCall(self, permit, on_ringing)
        try:
            leg = await self._place(permit, caller, asked)
        except BaseException:
            self._guard.release(permit)
            raise
        call.follow(leg)
        return call, leg

    def may_send(self, target: str, *, trunk: str) -> None:
        """See `TransferGuard.may_send`."""
        try:
            self._guard.may_send(trunk, target, now())
        except DialDenied as denied:
            self._tell_denied(denied, trunk, target, "")
            raise

    def may_be_asked(self, target: str, *, trunk: str) -> None:
        """See `TransferGuard.may_be_asked`."""
        try:
            self._guard.may_be_asked(trunk, target, now(), self._day())
        except DialDenied as denied:
            self._tell_denied(denied, trunk, target, "")
            raise

    def may_be_asked_here(self, target: str, *, trunk: str) -> None:
        """See `TransferGuard.may_be_asked_here`."""
        try:
            self._guard.may_be_asked_here(trunk, now())
        except DialDenied as denied:
            self._tell_denied(denied, trunk, target, "")
            raise

    async def aclose(self) -> None:
        """Wait until what was used is added up. Idempotent."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_GIVEN_UP)

    async def _place(self, permit: Permit, caller: str, asked: TransferAsked | None) -> PlacedLeg:
        name = permit.rule.trunk
        try:
            uri = uri_of(permit, self._trunks.get(name))
        except DialDenied as denied:
            self._guard.denied[denied.reason] += 1
            self._tell_denied(denied, name, permit.target.user, caller)
            raise
        try:
            return await self._placer.dial(
                uri,
                trunk=name,
                caller=caller or permit.rule.caller,
                headers=_referred_by(asked),
                replaces=asked.replaces if asked is not None else "",
            )
        except LegError as error:
            raise DialFailed(error.detail, sip_code=error.sip_code) from None

    async def _answered(self, call: _OutboundCall, leg: PlacedLeg, seconds: float) -> None:
        """Return once the far end took the call; in any other case nothing is left of it."""
        try:
            async with asyncio.timeout(seconds):
                closed = await asyncio.shield(call.decided)
        except TimeoutError:
            await leg.hangup(EndReason.NOT_ANSWERED)
            told = f"nobody answered within {seconds:g} s"
            raise DialFailed(told, sip_code=NOT_ANSWERED) from None
        except asyncio.CancelledError:
            await leg.hangup(EndReason.CANCELLED)
            raise
        if closed is not None:
            raise DialFailed(closed.detail or "the far end did not take the call", sip_code=closed.sip_code)

    def began(self, permit: Permit) -> None:
        """The far end answered: its first minute runs."""
        day = self._day()
        self._guard.answered(permit, day)
        self._add(permit, day)

    def another(self, permit: Permit) -> bool:
        """One more minute; False when it cannot be paid."""
        day = self._day()
        paid = self._guard.another(permit, day)
        if paid:
            self._add(permit, day)
        else:
            log.warning("a call of ours is ended: the day is used up", trunk=permit.rule.trunk)
        return paid

    def over(self, permit: Permit) -> None:
        """Its place is free."""
        self._guard.release(permit)

    def _add(self, permit: Permit, day: str) -> None:
        work = self._totals.add(permit.rule.trunk, day, 1, permit.price)
        task = asyncio.get_running_loop().create_task(work, name="outbound-totals")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _day(self) -> str:
        return self._wall().date().isoformat()

    def _tell_denied(self, denied: DialDenied, trunk: str, target: str, caller: str) -> None:
        shown = target[:_SHOWN] + "…" * (len(target) > _SHOWN)
        log.warning("a call of ours is denied", trunk=trunk, called=shown, reason=denied.reason)
        self._denied(trunk, target, caller, denied.reason)


def _referred_by(asked: TransferAsked | None) -> tuple[tuple[str, str], ...]:
    """Who asked for the call, for the header of that name; left out where it could not stand in one."""
    said = asked.referred_by if asked is not None else ""
    header = ("Referred-By", said)
    return (header,) if said and not header_problem([header]) else ()


_SHOWN = 12
"""Characters of a target that the log shows: enough for its country and range."""


class _OutboundCall:
    """Watches one call from its first ring to its end. Serves `LegListener`."""

    def __init__(
        self, dialer: GuardedDialer, permit: Permit, on_ringing: Callable[[LegRinging], None] | None
    ) -> None:
        self._dialer = dialer
        self.permit = permit
        self._on_ringing = on_ringing
        self._leg: PlacedLeg | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None
        self.decided: asyncio.Future[LegClosed | None] = asyncio.get_running_loop().create_future()
        """None when it was answered."""

    def follow(self, leg: PlacedLeg) -> None:
        self._leg = leg
        leg.watch(self)

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        """Not for us."""

    def notice(self, event: LegEvent) -> None:
        match event:
            case LegRinging() if self._on_ringing is not None and not self.decided.done():
                self._on_ringing(event)
            case LegAnswered() if not self.decided.done():
                self.decided.set_result(None)
                self._dialer.began(self.permit)
                self._arm()
            case LegClosed():
                if not self.decided.done():
                    self.decided.set_result(event)
                if self._timer is not None:
                    self._timer.cancel()
                self._dialer.over(self.permit)

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_MINUTE, self._minute)

    def _minute(self) -> None:
        if self._dialer.another(self.permit):
            self._arm()
        elif self._leg is not None:
            work = self._leg.hangup(EndReason.MAX_DURATION)
            self._ending = asyncio.get_running_loop().create_task(work, name="end-unpaid-call")
