"""A reception with everything scripted behind it, and a phone that remembers how it was treated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from engines.base import Asr, Tts
from gateway.actions.flow import Reach
from gateway.agents.base import Agent
from gateway.agents.sound import SoundAgent
from gateway.calls.record import CallRecord
from gateway.calls.registry import CallRegistry, RegistrySettings
from gateway.calls.settings import Engines, SessionSettings
from gateway.control.dialer import TransferGuard
from gateway.control.event_feed import EventFeed
from gateway.control.event_log import EventLog, Interest
from gateway.dialplan.forms import Action
from gateway.dialplan.match import Match, Route
from gateway.dialplan.patterns import compile_pattern
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.steps import plain
from gateway.live_calls import LiveCalls
from gateway.metrics import Metrics
from gateway.observers import SilentObserver
from gateway.reception import Desk, Reception
from gateway.route_run import CallParts
from media.legs.base import EndReason, LegClosed, Parties
from tests.fakes.agent import ScriptedAgent
from tests.fakes.asr import ScriptedAsr
from tests.fakes.caller import TICK, ScriptedCaller
from tests.fakes.tts import ToneTts


@dataclass(frozen=True)
class Refused:
    """What a phone that was not let in was told."""

    code: int
    retry_after: int
    reason: str


class Phone(ScriptedCaller):
    """A `ScriptedCaller` that calls a number."""

    def __init__(
        self, called: str = "200", says: Sequence[tuple[float, float]] = (), name: str = "p1"
    ) -> None:
        super().__init__(says)
        self.leg_id = name
        self.parties = Parties("100", called, "local")
        self.rang = self.early = self.was_answered = False
        self.refused: Refused | None = None
        self.causes: list[int] = []

    async def ring(self, *, early_media: bool = False) -> None:
        self.rang = True
        if early_media:
            self.early = True
            self.clock = asyncio.create_task(self._talk())

    async def answer(self) -> None:
        self.was_answered = True
        await super().answer()

    async def reject(self, sip_code: int, *, retry_after: int = 0, reason: str = "") -> None:
        self.refused = Refused(sip_code, retry_after, reason)
        if self.early:
            self.clock.cancel()

    async def hangup(self, reason: EndReason, *, cause: int = 0) -> None:
        self.causes.append(cause)
        if self.was_answered and not self.hung_up:
            await super().hangup(reason)
        elif not self.hung_up:
            self.close(reason)

    def close(self, reason: EndReason) -> None:
        """The far end ends it."""
        self.hung_up.append(reason)
        if self.was_answered:
            self.clock.cancel()
        self.listener.notice(LegClosed(reason, asyncio.get_running_loop().time()))


class Keeper(SilentObserver):
    """Keeps records in memory."""

    def __init__(self) -> None:
        self.records: list[CallRecord] = []

    def ended(self, record: CallRecord) -> None:
        self.records.append(record)


@dataclass
class FrontDesk:
    """A reception whose dialplan is one route to 200. Made inside a running loop."""

    actions: Sequence[Action]
    asr: Asr = field(default_factory=lambda: ScriptedAsr(()))
    tts: Tts = field(default_factory=ToneTts)
    make_agent: Callable[[], Agent | SoundAgent] = ScriptedAgent
    own_ears: frozenset[str] = frozenset()
    limits: RegistrySettings = field(default_factory=RegistrySettings)
    session: SessionSettings = field(default_factory=SessionSettings)
    licence: Callable[[int], str] = lambda running: ""
    transfers: TransferGuard | None = None
    reach: Reach = Reach()
    folder: Path = Path("recordings")

    def __post_init__(self) -> None:
        match = Match((compile_pattern("200"),), (compile_pattern("100"),))
        self.plan = Dialplan((Route("desk", match, plain(*self.actions), "plan.yaml:1"),))
        self.keeper = Keeper()
        self.metrics = Metrics()
        self.registry = CallRegistry(self.limits)
        self.live = LiveCalls(asyncio.get_running_loop().time)
        self.events = EventLog(1000, "e", lambda: datetime(2026, 1, 2, tzinfo=UTC))
        parts = CallParts(
            agent=lambda name: self.make_agent(),
            engines=Engines(self.asr, self.tts),
            session=self.session,
            observers=(self.live, EventFeed(self.events), self.keeper),
            metrics=self.metrics.calls,
            live=self.live,
            add=self.registry.add,
            find=self.registry.get,
            folder=self.folder,
            reach=lambda: self.reach,
            own_ears=self.own_ears,
            transfers=self.transfers,
        )
        retry_after, licence = self.limits.retry_after, self.licence
        self.desk = Desk(
            lambda: self.plan, self.registry, parts, retry_after, licence=licence, feed=EventFeed(self.events)
        )
        self.reception = Reception(self.desk)

    async def until_idle(self, seconds: float = 120.0) -> None:
        """Wait until every call is over and tidied."""
        await asyncio.sleep(0)  # who was just taken is counted too
        for _ in range(round(seconds / TICK)):
            if not len(self.registry):
                break
            await asyncio.sleep(TICK)
        assert len(self.registry) == 0 and self.live.views() == [], "calls are left"
        await self.reception.aclose()

    def story(self, call_id: str) -> list[str]:
        """The kinds of events that were told of a call, in order."""
        return [event.kind for event in self.events.read(0, Interest(call_id=call_id)).events]

    def counted(self, name: str) -> float:
        """A sample of the metrics by its full name; 0 when there is none."""
        for line in self.metrics.render()[0].decode().splitlines():
            if line.startswith(name + " "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def refusals(self, reason: str) -> float:
        return self.counted(f'offhook_calls_refused_total{{reason="{reason}"}}')
