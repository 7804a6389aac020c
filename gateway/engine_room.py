"""From the configuration's lists of engines to one recogniser and one voice that switch by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from engines import registry
from engines.base import Asr, Residency, Switch, Tts
from engines.fleet import Fleet, WorkerKind, WorkerSeen
from engines.fleet_redis import RedisFleet
from engines.fleet_static import StaticFleet
from engines.models.base import Models
from engines.redis_client import connect
from engines.router import Bench, Member, RoutedAsr, RoutedTts
from engines.router.asr import probe_asr
from engines.router.bench import Engine
from engines.router.fleet import FleetFollower
from engines.router.tts import probe_tts
from gateway.config import Config
from gateway.config.engine_sections import TABLES, EngineEntry
from gateway.errors import PartFailed
from gateway.metered import Done, MeteredAsr, MeteredTts
from gateway.residency import residency_of, residency_of_address

E = TypeVar("E", bound=Engine)

_FAR = 2.5
"""So many times as long as ours others' engines may take, where the configuration does not say."""


def _unmetered(kind: str, engine: str, outcome: str, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told what engines do."""

    done: Done = _unmetered
    switched: Callable[[Switch], None] | None = None


async def open_asr(config: Config, models: Models, closing: AsyncExitStack, watch: Watch) -> RoutedAsr:
    """The configured recognisers, none of them warm yet; `closing` closes them.

    Raises `PartFailed` when one cannot be made, or none may be used.
    """
    kind: _Kind[Asr] = _Kind(
        "asr", registry.asr, lambda engine, name: MeteredAsr(engine, watch.done, name), probe_asr
    )
    bench = await _Room(config, models, closing, kind, watch).open(config.asr.entries())
    return RoutedAsr(bench)


async def open_tts(config: Config, models: Models, closing: AsyncExitStack, watch: Watch) -> RoutedTts:
    """The configured voices; see `open_asr`."""
    kind: _Kind[Tts] = _Kind(
        "tts", registry.tts, lambda engine, name: MeteredTts(engine, watch.done, name), probe_tts
    )
    bench = await _Room(config, models, closing, kind, watch).open(config.tts.entries())
    return RoutedTts(bench)


@dataclass(frozen=True, slots=True)
class _Kind(Generic[E]):
    name: WorkerKind
    make: Callable[[str, object, Models], E]
    meter: Callable[[E, str], E]
    probe: Callable[[E], Awaitable[None]]


class _Room(Generic[E]):
    """Opens all engines of one kind."""

    def __init__(
        self, config: Config, models: Models, closing: AsyncExitStack, kind: _Kind[E], watch: Watch
    ) -> None:
        self._config = config
        self._models = models
        self._closing = closing
        self._kind = kind
        self._limit = Residency(config.node.data)
        self._watch = watch

    async def open(self, entries: Sequence[EngineEntry]) -> Bench[E]:
        kind = self._kind
        allowed = [entry for entry in entries if self._may(entry)]
        if not allowed:
            raise PartFailed(self._nobody(entries))
        bench: Bench[E] = Bench(
            kind.name, (), kind.probe, self._config.router, on_switch=self._watch.switched
        )
        self._closing.push_async_callback(bench.aclose)
        fleets: list[FleetFollower[E]] = []
        for entry in allowed:
            if entry.workers or entry.fleet:
                fleets.append(await self._follow(bench, entry))
            else:
                # In a thread: an engine may have to fetch its model first.
                engine = await asyncio.to_thread(self._made, entry.engine, entry.settings)
                bench.add(self._member(entry, entry.name, engine, self._place(entry)))
        return bench

    async def _follow(self, bench: Bench[E], entry: EngineEntry) -> FleetFollower[E]:
        fleet = self._fleet(entry)
        await fleet.start()
        self._closing.push_async_callback(fleet.aclose)

        def make(worker: WorkerSeen) -> Member[E]:
            settings = entry.settings or registry.settings_type(TABLES[self._kind.name], entry.engine)()
            engine = self._made(entry.engine, replace(settings, address=worker.address))
            place = self._given(entry) or residency_of_address(worker.address)
            return self._member(entry, f"{entry.name}/{worker.name}", engine, place)

        follower = FleetFollower(bench, fleet, self._kind.name, make)
        await follower.start()
        self._closing.push_async_callback(follower.aclose)
        return follower

    def _fleet(self, entry: EngineEntry) -> Fleet:
        workers = entry.workers
        if entry.fleet:
            found = self._config.fleet
            client = connect(found.redis or self._config.redis.url, seconds=found.reading.deadline_seconds)
            self._closing.push_async_callback(client.aclose)
            return RedisFleet(client, prefix=found.prefix, settings=found.reading)
        return StaticFleet(workers, ()) if self._kind.name == "asr" else StaticFleet((), workers)

    def _member(self, entry: EngineEntry, name: str, engine: E, place: Residency) -> Member[E]:
        return Member(
            name, engine, front=self._kind.meter(engine, entry.name), rank=entry.rank, cost=entry.cost,
            data=place, patience=entry.patience or (_FAR if place is Residency.CLOUD else 1.0),
        )  # fmt: skip

    def _made(self, engine: str, settings: object) -> E:
        try:
            return self._kind.make(engine, settings, self._models)
        except (registry.UnknownEngine, registry.EngineMissing) as error:
            raise PartFailed(str(error)) from error

    def _may(self, entry: EngineEntry) -> bool:
        """Whether it may hear any call of this node; of workers it is known when they are seen."""
        if entry.fleet or entry.workers:
            given = self._given(entry)
            return given is None or self._limit.allows(given)
        return self._limit.allows(self._place(entry))

    def _place(self, entry: EngineEntry) -> Residency:
        settings: Any = entry.settings
        if settings is None:
            settings = self._defaults(entry.engine)
        return self._given(entry) or residency_of(settings)

    def _defaults(self, engine: str) -> object:
        try:
            return registry.settings_type(TABLES[self._kind.name], engine)()
        except (registry.UnknownEngine, registry.EngineMissing):
            return None  # told when it is made

    def _given(self, entry: EngineEntry) -> Residency | None:
        return Residency(entry.data) if entry.data else None

    def _nobody(self, entries: Sequence[EngineEntry]) -> str:
        told = ", ".join(f"{entry.name} counts as {self._place(entry)}" for entry in entries)
        return (
            f"{self._kind.name}: no engine may be used, because node.data is {self._limit} ({told}); "
            "say where the engine is with `data:` in its entry of `engines`, or widen node.data"
        )
