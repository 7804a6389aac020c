"""Keeps a bench in step with a fleet: each worker that is seen serves, each that is gone is let go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

from engines.base import EngineError
from engines.fleet import Fleet, WorkerKind, WorkerSeen
from engines.router.bench import Bench, Engine, Member
from media.clock import now

log = structlog.get_logger(__name__)

E = TypeVar("E", bound=Engine)

_LOOK = 0.5
_FORGET = 60.0
"""Seconds after which a worker that is not seen any more is let go, once it serves nobody."""


class FleetFollower(Generic[E]):
    """One entry of the configuration that stands for as many engines as there are workers."""

    def __init__(
        self, bench: Bench[E], fleet: Fleet, kind: WorkerKind, make: Callable[[WorkerSeen], Member[E]]
    ) -> None:
        """`make` gives the engine at a worker's address; its `name` must be the worker's."""
        self._bench = bench
        self._fleet = fleet
        self._kind: WorkerKind = kind
        self._make = make
        self._members: dict[str, Member[E]] = {}
        self._addresses: dict[str, str] = {}
        self._missing: dict[str, float] = {}
        self._following: asyncio.Task[None] | None = None
        self._warming: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Look once, then go on looking."""
        await self._look()
        self._following = asyncio.get_running_loop().create_task(self._follow(), name="follow-fleet")

    async def aclose(self) -> None:
        """Stop looking; the engines are the bench's. Idempotent."""
        tasks = [*self._warming, *([self._following] if self._following else [])]
        self._following = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            await self._look()

    async def _look(self) -> None:
        seen = {worker.name: worker for worker in self._fleet.workers(self._kind)}
        for name, worker in seen.items():
            if self._addresses.get(name) not in (None, worker.address):
                await self._let_go(name)  # the same name somewhere else
            if name not in self._members:
                self._add(worker)
            member = self._members[name]
            member.away = not worker.ready
            member.places, member.elsewhere = worker.places, worker.running
        for name, member in tuple(self._members.items()):
            if name in seen:
                self._missing.pop(name, None)
                continue
            member.away = True
            since = self._missing.setdefault(name, now())
            if not member.running and now() - since >= _FORGET:
                await self._let_go(name)

    def _add(self, worker: WorkerSeen) -> None:
        member = self._make(worker)
        self._bench.add(member)
        self._members[worker.name] = member
        self._addresses[worker.name] = worker.address
        log.info("worker joins", kind=self._kind, engine=member.name, address=worker.address)
        task = asyncio.get_running_loop().create_task(_warm(member), name=f"warm-{member.name}")
        self._warming.add(task)
        task.add_done_callback(self._warming.discard)

    async def _let_go(self, name: str) -> None:
        self._missing.pop(name, None)
        self._addresses.pop(name, None)
        member = self._members.pop(name)
        log.info("worker leaves", kind=self._kind, engine=member.name)
        await self._bench.remove(member)


async def _warm(member: Member[E]) -> None:
    """Connect ahead of the first call."""
    try:
        await member.engine.warm_up()
    except EngineError as error:
        log.warning("worker does not come up", engine=member.name, why=str(error))
