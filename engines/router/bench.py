"""The engines that may serve, what is known of each, and which of them is the best now.

Calls report what they see (`worked`, `missed`, `busy`), and a watch of its own tries each engine that
nobody used for a while, so that a standby is known to work before it is needed, and one that failed is
known to be back without a caller having to find out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import structlog

from engines.base import EngineBusy, EngineError, EngineFailed, EngineRefused, Residency, Switch
from engines.router.breaker import Breaker
from engines.router.pace import Pace, PaceSettings
from engines.router.passage import USUAL_TEMPO
from engines.router.settings import RouterSettings
from media.clock import now

log = structlog.get_logger(__name__)

_FULL = 0.5
"""Seconds for which an engine that refused as full is not asked again."""
_GRACE = 3.0
"""Seconds that, at the start, the other engines are given once one works."""
_RETRY = 0.25
_TICK = 0.001
"""Rounding of timers."""
_WAIT = 30.0
"""Seconds to wait, at the start, for the first worker."""
_NEVER = float("-inf")


class Engine(Protocol):
    """What recognisers and voices have in common."""

    @property
    def name(self) -> str: ...

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...


E = TypeVar("E", bound=Engine)


@dataclass(eq=False, slots=True)
class Member(Generic[E]):
    """One engine among others."""

    name: str
    """Unique among its kind; in records, logs and metrics."""
    engine: E
    front: E | None = None
    """What stands before it and serves calls, such as a meter; None: the engine itself."""
    rank: int = 0
    """The lowest that works serves; those of one rank share the work."""
    cost: float = 0.0
    """Of an hour of speech, in whatever money; of two that are as good the cheaper one serves."""
    data: Residency = Residency.NODE
    """Where sound and text go with it."""
    patience: float = 1.0
    """So many times as long as others it may take."""
    places: int = 0
    """Requests that it takes at once; 0: unknown."""
    elsewhere: int = 0
    """Requests that others have it serve, where that is known."""
    away: bool = False
    """Whoever keeps the register of workers says that it takes nothing now."""
    breaker: Breaker = field(default_factory=Breaker)
    paces: dict[str, Pace] = field(default_factory=dict)
    decodes_ahead: bool = False
    """Of a recogniser: it was seen to answer a pause. Of others no answer is due before the end."""
    shows_words: bool = False
    """... to show words while somebody speaks."""
    tempo: float = USUAL_TEMPO
    """Of a voice: characters that it speaks in a second."""
    running: int = 0
    """Requests of ours that it serves."""
    proved: float = _NEVER
    """When it last gave something useful."""
    failed: float = _NEVER
    """When it last failed, or was late."""
    full_until: float = _NEVER
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to have it tried at once."""

    @property
    def serving(self) -> E:
        """Whom to ask for a call's sake."""
        return self.engine if self.front is None else self.front

    @property
    def down(self) -> str:
        """Why it is known not to serve, or ""."""
        return str(getattr(self.engine, "down", "") or "")

    @property
    def suspect(self) -> bool:
        """It failed, and has given nothing since."""
        return self.failed > self.proved

    @property
    def load(self) -> float:
        """How busy it is: share of its places where they are known, else requests."""
        running = max(self.running, self.elsewhere)
        return running / self.places if self.places else float(running)

    def fit(self, at: float) -> bool:
        """Whether it may go on with what it has."""
        return not (self.away or self.suspect or self.down) and self.breaker.allows(at)

    def usable(self, at: float) -> bool:
        """Whether a request may be given to it."""
        return not self.away and self.breaker.allows(at) and not self.down and at >= self.full_until


class Bench(Generic[E]):
    """All engines of one kind. Belongs to one loop; closes what it was given."""

    def __init__(
        self,
        kind: str,
        members: Iterable[Member[E]],
        probe: Callable[[E], Awaitable[None]],
        settings: RouterSettings,
        on_switch: Callable[[Switch], None] | None = None,
    ) -> None:
        """`probe` lets an engine do a little work and returns when that was useful; raises `EngineError`."""
        self.kind = kind
        self.settings = settings
        self.counts: Counter[str] = Counter()
        self._members: list[Member[E]] = []
        self._probe = probe
        self._on_switch = on_switch
        self._watches: dict[Member[E], asyncio.Task[None]] = {}
        self._hedges = float(settings.hedges_at_once)
        self._watching = False
        self._joined = asyncio.Event()
        self._warming: set[asyncio.Future[EngineError | None]] = set()
        for member in members:
            self.add(member)

    @property
    def members(self) -> tuple[Member[E], ...]:
        """All of them, in the order in which they were given."""
        return tuple(self._members)

    def add(self, member: Member[E]) -> None:
        """One more. Raises `ValueError` when the name is taken."""
        if any(other.name == member.name for other in self._members):
            raise ValueError(f"two engines are called {member.name!r}")
        member.breaker = Breaker(self.settings.breaker)
        self._members.append(member)
        self._joined.set()
        if self._watching:
            self._watch_over(member)

    async def remove(self, member: Member[E]) -> None:
        """It is gone for good."""
        member.away = True
        self._members.remove(member)
        watch = self._watches.pop(member, None)
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        await member.engine.aclose()

    # ------------------------------------------------------------------------------------------ choosing

    def ranked(self, limit: Residency) -> list[Member[E]]:
        """Those that may and can serve, the best first: proven, by rank, the least busy, the cheapest."""
        at = now()
        usable = [m for m in self._members if limit.allows(m.data) and m.usable(at)]
        return sorted(usable, key=lambda m: (m.suspect, m.rank, m.load, m.cost))

    def refusal(self, limit: Residency) -> EngineError:
        """Why `ranked` is empty."""
        allowed = [m for m in self._members if limit.allows(m.data)]
        if not allowed:
            told = f"no {self.kind} engine may be used: this call's data stays within its {limit}"
            return EngineRefused(told)
        at = now()
        if any(at < m.full_until for m in allowed):
            return EngineBusy(f"every {self.kind} engine is full")
        why = "; ".join(f"{m.name}: {m.down or 'it failed'}" for m in allowed)
        return EngineFailed(f"no {self.kind} engine works ({why})")

    def pace(self, member: Member[E], what: str, settings: PaceSettings) -> Pace:
        """What is known of how long it takes."""
        if what not in member.paces:
            member.paces[what] = Pace(settings.times(member.patience))
        return member.paces[what]

    def may_hedge(self) -> bool:
        """Whether a late answer may be asked of a second engine; each time takes from what is left."""
        if self._hedges < 1:
            self.counts["hedges_spared"] += 1
            return False
        self._hedges -= 1
        self.counts["hedges"] += 1
        return True

    # ----------------------------------------------------------------------------------------- reporting

    def worked(self, member: Member[E]) -> None:
        """It gave something useful."""
        member.proved = now()
        member.breaker.worked(member.proved)
        settings = self.settings
        self._hedges = min(self._hedges + settings.hedges, settings.hedges_at_once)

    def missed(self, member: Member[E], why: str) -> None:
        """It failed, or was late."""
        member.failed = now()
        member.breaker.failed(member.failed)
        member.wanted.set()
        log.warning("engine missed", kind=self.kind, engine=member.name, why=why)

    def busy(self, member: Member[E]) -> None:
        """It refused, because it is full: it lives."""
        member.full_until = now() + _FULL
        self.counts["busy"] += 1

    def report(self, member: Member[E], error: EngineError) -> None:
        """What follows from an error of its."""
        if isinstance(error, EngineBusy):
            self.busy(member)
        elif not isinstance(error, EngineRefused):
            self.missed(member, str(error))

    def switched(self, switch: Switch, told: Callable[[Switch], None] | None) -> None:
        """Another engine takes over within a call; said once the caller's wait for it is known."""
        log.info(
            "engine switched", kind=switch.kind, source=switch.source, target=switch.target, why=switch.why
        )
        if told is not None:
            told(switch)

    def settled(self, switch: Switch) -> None:
        """The engine that took over gave something: `gap` is known."""
        if self._on_switch is not None:
            self._on_switch(switch)

    # ----------------------------------------------------------------------------------------- watching

    async def warm_up(self) -> None:
        """Return when one of them works and the others had a moment; those still coming up go on doing so.

        Raises the first one's `EngineError` when none works.
        """
        self._begin_watching()
        if not self._members:
            await self._somebody()
        warming = {asyncio.ensure_future(self._warm(member)) for member in self._members}
        self._warming |= warming
        grace: float | None = None
        errors: list[EngineError] = []
        while warming:
            done, warming = await asyncio.wait(warming, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                return
            self._warming -= done
            found = [task.result() for task in done]
            errors += [error for error in found if error is not None]
            if None in found:
                grace = _GRACE
        if grace is None:
            raise errors[0] if errors else EngineFailed(f"no {self.kind} worker was seen")

    async def aclose(self) -> None:
        """Stop watching and close every engine. Idempotent."""
        tasks: list[asyncio.Future[Any]] = [*self._watches.values(), *self._warming]
        self._watches.clear()
        self._warming.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        members, self._members = self._members, []
        for member in members:
            member.away = True
            await member.engine.aclose()

    def stats(self) -> dict[str, float]:
        """Of each engine: 1 while it may be used, its requests, load and own counts; probes and hedges."""
        at = now()
        told: dict[str, float] = {name: float(count) for name, count in self.counts.items()}
        for member in self._members:
            told[f"{member.name}.usable"] = float(member.usable(at) and not member.suspect)
            told[f"{member.name}.running"] = float(member.running)
            told[f"{member.name}.load"] = member.load
            told[f"{member.name}.opened"] = float(member.breaker.opened)
            for what, value in getattr(member.engine, "stats", dict)().items():
                told[f"{member.name}.{what}"] = float(value)
        return told

    async def _warm(self, member: Member[E]) -> EngineError | None:
        try:
            await member.engine.warm_up()
        except EngineError as error:
            log.warning("engine does not come up", kind=self.kind, engine=member.name, why=str(error))
            self.missed(member, "it does not come up")
            return error
        return None

    async def _somebody(self) -> None:
        """Wait for the first worker to be seen."""
        self._joined.clear()
        try:
            async with asyncio.timeout(_WAIT):
                await self._joined.wait()
        except TimeoutError:
            pass

    def _begin_watching(self) -> None:
        if not self._watching:
            self._watching = True
            for member in self._members:
                self._watch_over(member)

    def _watch_over(self, member: Member[E]) -> None:
        task = asyncio.get_running_loop().create_task(self._watch(member), name=f"watch-{member.name}")
        self._watches[member] = task

    async def _watch(self, member: Member[E]) -> None:
        """Try the engine whenever nothing recent is known of it."""
        while True:
            try:
                async with asyncio.timeout(self.settings.probe_seconds):
                    await member.wanted.wait()
            except TimeoutError:
                pass
            member.wanted.clear()
            if member.away:
                continue
            if member.down:  # its own link will tell when it is back
                await asyncio.sleep(_RETRY)
                if member.suspect:
                    member.wanted.set()
            elif member.breaker.allows(now()):
                if self._worth_a_try(member):
                    await self._try(member)
            else:
                await asyncio.sleep(max(0.0, member.breaker.reopens() - now()) + _TICK)
                if member.breaker.may_try(now()):
                    await self._try(member)

    def _worth_a_try(self, member: Member[E]) -> bool:
        if member.suspect:
            return True
        ours = not member.cost and member.data is not Residency.CLOUD
        return ours and now() - member.proved >= self.settings.probe_seconds

    async def _try(self, member: Member[E]) -> None:
        self.counts["probes"] += 1
        try:
            async with asyncio.timeout(self.settings.probe_limit * member.patience):
                await self._probe(member.engine)
        except EngineBusy:
            self.busy(member)
            member.proved = now()
            member.breaker.worked(member.proved)
        except (EngineError, TimeoutError) as error:
            self.counts["probes_failed"] += 1
            member.failed = now()
            member.breaker.failed(member.failed)
            log.debug("engine does not work", kind=self.kind, engine=member.name, why=str(error))
            member.wanted.set()
        else:
            if member.suspect:
                log.info("engine works again", kind=self.kind, engine=member.name)
            self.worked(member)
