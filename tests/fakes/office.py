"""An office that calls out: the guard, a scripted network, and a front desk that serves what is answered."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.calls.record import CallRecord
from gateway.control.guard import Guard, Spent
from gateway.control.guarded_dialer import GuardedDialer
from gateway.control.once import KeyBook
from gateway.control.originate import Originator
from gateway.control.outbound_settings import OutboundRule, OutboundSettings
from gateway.control.settings import ControlSettings
from gateway.dialplan.actions import Answer, ConnectAgent
from gateway.dialplan.forms import Action
from gateway.dialplan.match import Match, Route
from gateway.dialplan.steps import plain
from media.legs.sip_settings import TrunkSettings
from tests.fakes.asr import ScriptedAsr
from tests.fakes.callee import Callee, CalleeNetwork
from tests.fakes.desk import FrontDesk

BERLIN = "+4930901820"
TRUNK = TrunkSettings("carrier", registrar="sip:sip.carrier.example:5070", outbound=True)
TALK = (Answer(), ConnectAgent("desk"))


def route(*actions: Action, name: str = "desk") -> Route:
    """A route that branches nowhere."""
    return Route(name, Match(), plain(*actions))


DESK = route(*TALK)


class MemoryTotals:
    """Serves `Totals`."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Spent] = {}

    async def add(self, trunk: str, day: str, minutes: int, cost: int) -> None:
        spent = self.kept.setdefault((trunk, day), Spent())
        spent.minutes += minutes
        spent.cost += cost

    async def read(self, trunk: str, day: str) -> Spent:
        return self.kept.get((trunk, day), Spent())


class Bench:
    def __init__(self, *callees: Callee, trunk: TrunkSettings = TRUNK, **rule: Any) -> None:
        self.guard = Guard(OutboundSettings((OutboundRule(trunk.name, **({"allow": ("*",)} | rule)),)))
        self.network = CalleeNetwork(*callees)
        self.totals = MemoryTotals()
        self.denials: list[tuple[str, str, str, str]] = []
        self.dialer = GuardedDialer(
            self.guard,
            self.network,
            {trunk.name: trunk},
            self.totals,
            self.wall,
            lambda *told: self.denials.append(told),
        )

    def wall(self) -> datetime:
        seconds = asyncio.get_running_loop().time()
        return datetime(2026, 1, 2, 12, tzinfo=UTC) + timedelta(seconds=seconds)


class Office(Bench):
    """A front desk that calls out."""

    def __init__(
        self, *callees: Callee, asr: Any = None, limits: Any = None, book: KeyBook | None = None, **rule: Any
    ) -> None:
        super().__init__(*callees, **rule)
        extra: dict[str, Any] = {"limits": limits} if limits else {}
        self.desk = FrontDesk(TALK, asr=asr or ScriptedAsr(()), transfers=self.dialer, **extra)
        numbers = iter(range(1, 100))
        settings = ControlSettings(parked_seconds=100.0)
        self.originator = Originator(
            self.desk.desk, self.dialer, settings, lambda: f"call{next(numbers)}", book
        )

    async def record(self) -> CallRecord:
        await self.desk.until_idle()
        await self.originator.aclose()
        (record,) = self.desk.keeper.records
        return record
