"""A far end asks that whom it talks with be connected with somebody else (inbound REFER, RFC 3515).

    REFER ─ guard ─┬ denied: 603
                   └ 202, NOTIFY 100 ─ dial ─ NOTIFY 180 ─┬ answered: NOTIFY 200, the target's leg
                                                          └ not: NOTIFY with its code, all is as it was

Who is left with the target, and what becomes of the far end that asked, is for whoever connects the two
(`connected.py`, `joined.py`). A request outlives the far end that made it: usual telephones hang up soon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from gateway.calls.call import Call
from gateway.calls.call_events import TransferChanged
from gateway.calls.lifecycle import CallState
from gateway.calls.orders import GoTo
from gateway.control.dialer import TransferGuard
from gateway.errors import DialDenied, DialFailed, verdict
from media.clock import now
from media.frame import AudioFrame, Voice
from media.legs.base import (
    Direction,
    EndReason,
    Leg,
    LegClosed,
    LegError,
    LegEvent,
    LegRinging,
    TransferAsked,
)

log = structlog.get_logger(__name__)

FAREWELL = 4.0
"""Seconds that a far end whose transfer is done has for hanging up by itself, as RFC 5589 has it."""
_DECLINED = 603
_NOT_FOUND = 404
_NO_ANSWER = 408

Found: TypeAlias = Leg | GoTo
"""With whom the one who stays is connected: somebody who was called, or a route of his own call's plan."""


@dataclass(frozen=True, slots=True)
class Transfers:
    """What the transfers that far ends ask for need; without a guard all are denied."""

    guard: TransferGuard | None = None
    route_of: Callable[[TransferAsked], str] = lambda asked: ""
    """The route of our own plan that a number leads to; "" for none."""


class Transfer:
    """One request, from the rules to its end."""

    def __init__(
        self,
        asker: Leg,
        asked: TransferAsked,
        transfers: Transfers,
        calls: tuple[Call, ...],
        over: Callable[[Found | None], None],
        *,
        routable: bool,
    ) -> None:
        """`calls`: whose records keep it. `over` is told what was found, None for a failure.

        `routable`: whether the one who stays has a route of his own, and so may be sent to another one.
        """
        self.asker = asker
        self.agreed = False
        """We said that we would: from here on the one who asked may hang up."""
        self.sip_code = 0
        """Of the failure."""
        self._asked = asked
        self._transfers = transfers
        self._calls = calls
        self._over = over
        self._routable = routable
        self._left: Leg | None = None
        """The target, until somebody takes him."""
        self._ringing: asyncio.Task[None] | None = None
        self._task = asyncio.get_running_loop().create_task(self._run(), name="transfer-asked")

    @property
    def over(self) -> bool:
        """Whether it is known what came of it."""
        return self._task.done()

    @property
    def found_somebody(self) -> bool:
        """Whether the one who stays has been connected, or is about to be."""
        return self.over and not self._task.cancelled() and self._task.result() is not None

    async def found(self) -> None:
        """Wait until it is known."""
        await asyncio.wait({self._task})

    def take(self) -> Found | None:
        """Once it is over: have whoever was found; None when nobody was."""
        self._left = None
        found = None if self._task.cancelled() else self._task.result()
        if found is not None:
            self._tell("done")
        return found

    async def drop(self) -> None:
        """Nobody is left to be connected: call nobody any more. Idempotent."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        left, self._left = self._left, None
        if left is not None:
            await left.hangup(EndReason.CANCELLED)

    async def _run(self) -> Found | None:
        found: Found | None = None
        self._tell("started")
        try:
            found = await (self._route() if self._asked.ours else self._call())
        except (DialDenied, DialFailed, LegError) as error:
            code = error.sip_code if isinstance(error, DialFailed | LegError) else verdict(error).sip_code
            await self._fail(code if self.agreed else _DECLINED, str(error))
        except asyncio.CancelledError:
            self._tell("failed", 487)
            raise
        self._over(found)
        return found

    async def _call(self) -> Leg:
        """Raises `DialDenied`, `DialFailed`; `LegError` when the far end has gone before we agreed."""
        guard, trunk = self._guard(), self.asker.parties.trunk
        guard.may_be_asked(self._asked.target, trunk=trunk)
        await self._agree()
        leg = await guard.dial_asked(self._asked, trunk=trunk, on_ringing=self._rings)
        self._left = leg
        await self._report(200)
        self._tell("answered", 200)
        return leg

    async def _route(self) -> GoTo:
        """A number of our own: the same errors."""
        self._guard().may_be_asked_here(self._asked.target, trunk=self.asker.parties.trunk)
        route = self._transfers.route_of(self._asked) if self._routable and not self._asked.replaces else ""
        if not route:
            raise DialFailed("the number leads nowhere that whoever stays could be sent", sip_code=_NOT_FOUND)
        await self._agree()
        await self._report(200)
        self._tell("answered", 200)
        return GoTo(route)

    def _guard(self) -> TransferGuard:
        if self._transfers.guard is None:
            raise DialDenied("nobody may ask for a call here", reason="refer")
        return self._transfers.guard

    async def _agree(self) -> None:
        await self.asker.accept_transfer()
        self.agreed = True
        self._tell("trying", 100)

    def _rings(self, event: LegRinging) -> None:
        """Told once: what rings goes on ringing."""
        if self._ringing is None:
            self._tell("ringing", event.sip_code)
            work = self._report(event.sip_code)
            self._ringing = asyncio.get_running_loop().create_task(work, name="report-ringing")

    async def _fail(self, code: int, why: str) -> None:
        self.sip_code = code = code if code >= 300 else 500
        log.info("a transfer that was asked for failed", sip_code=code, why=why)
        if self.agreed:
            await self._report(code)
        else:
            await refuse(self.asker, code)
        self._tell("timed_out" if code == _NO_ANSWER else "failed", code)

    async def _report(self, code: int) -> None:
        """One who has hung up needs no report."""
        if code >= 200 and self._ringing is not None:
            await asyncio.gather(self._ringing, return_exceptions=True)
        try:
            await self.asker.report_transfer(code)
        except LegError as error:
            log.debug("a report of a transfer was not sent", why=error.detail)

    def _tell(self, state: str, code: int = 0) -> None:
        told = TransferChanged(now(), "asked", self._asked.target, state, code, number_of(self.asker))
        for call in self._calls:
            if call.state is not CallState.ENDED:
                call.happened(told)


async def refuse(leg: Leg, code: int = _DECLINED) -> None:
    """Say no to a far end that asks; that it has gone already does no harm."""
    try:
        await leg.refuse_transfer(code)
    except LegError as error:
        log.debug("a refusal was not sent", why=error.detail)


class Ear:
    """Hears nothing of a leg but its end."""

    def __init__(self, leg: Leg) -> None:
        self.gone = asyncio.Event()
        leg.attach(self)

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        """Not for us."""

    def notice(self, event: LegEvent) -> None:
        """Whether it is over."""
        if isinstance(event, LegClosed):
            self.gone.set()


async def send_off(leg: Leg, over: asyncio.Event) -> None:
    """Let a far end whose transfer is done hang up, and do it for one that does not."""
    try:
        async with asyncio.timeout(FAREWELL):
            await over.wait()
    except TimeoutError:
        pass
    finally:
        await leg.hangup(EndReason.TRANSFERRED)


def number_of(leg: Leg) -> str:
    """Of a leg's far end."""
    return leg.parties.called if leg.direction is Direction.OUTBOUND else leg.parties.caller
