"""The fleet as the configuration names it: each worker is asked, in the background, how it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import structlog

from engines.fleet import WorkerKind, WorkerSeen, check_address
from engines.fleet_probe import NotServing, Probe, Told, Unreachable
from media.clock import now

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StaticWorker:
    """One worker, or any Riva server or NIM."""

    address: str
    """`host:port` of its gRPC."""
    name: str = ""
    """Its name among the workers of its kind; empty: the address."""
    health: Literal["auto", "http", "grpc"] = "auto"
    """What it is asked: `http` tells its load too, `grpc` (`grpc.health.v1`) only whether it serves;
    `auto`: HTTP, and gRPC where nobody answers that."""
    health_url: str = ""
    """Where its HTTP health is; empty: `/health` on the port after the gRPC port, as `offhook asr` has it."""
    tls: bool = False
    """Its gRPC is encrypted."""
    ca_file: str = ""
    """Path of a PEM file with the authority to believe; empty: those that gRPC carries."""

    def __post_init__(self) -> None:
        check_address("address", self.address)
        if self.health_url and not self.health_url.startswith(("http://", "https://")):
            raise ValueError("health_url: give http://... or https://...")
        if self.health == "grpc" and self.health_url:
            raise ValueError("health_url: is of no use with health: grpc")

    @property
    def url(self) -> str:
        """Where its HTTP health is."""
        host, port = check_address("address", self.address)
        return self.health_url or f"http://{host}:{min(port + 1, 65535)}/health"


@dataclass(frozen=True, slots=True)
class StaticFleetSettings:
    """How the named workers are asked."""

    ask_seconds: float = 2.0
    """0.05 to 600: how often each worker is asked."""
    deadline_seconds: float = 1.0
    """0.05 to 60: for an answer; then the worker counts as not ready."""

    def __post_init__(self) -> None:
        if not 0.05 <= self.ask_seconds <= 600:
            raise ValueError("ask_seconds: give 0.05 to 600")
        if not 0.05 <= self.deadline_seconds <= 60:
            raise ValueError("deadline_seconds: give 0.05 to 60")


class StaticFleet:
    """Serves `Fleet`. Belongs to the loop that starts it."""

    def __init__(
        self,
        asr: Sequence[StaticWorker] = (),
        tts: Sequence[StaticWorker] = (),
        settings: StaticFleetSettings | None = None,
    ) -> None:
        """Raises `ValueError` when two workers of a kind have one name."""
        self._settings = settings or StaticFleetSettings()
        self._named: dict[WorkerKind, tuple[StaticWorker, ...]] = {"asr": tuple(asr), "tts": tuple(tts)}
        for kind, workers in self._named.items():
            names = [_name(worker) for worker in workers]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{kind}: {twice[0]!r} is there twice; give each worker a name of its own")
        self._seen: dict[tuple[WorkerKind, str], WorkerSeen] = {}
        self._asking: list[asyncio.Task[None]] = []
        self._probe: Probe | None = None

    def workers(self, kind: WorkerKind) -> tuple[WorkerSeen, ...]:
        """See `Fleet.workers`, in the order of the configuration."""
        return tuple(self._seen[kind, _name(w)] for w in self._named[kind] if (kind, _name(w)) in self._seen)

    async def start(self) -> None:
        """See `Fleet.start`: every worker is asked once, all at the same time."""
        begun, loop = now(), asyncio.get_running_loop()
        self._probe = Probe(self._settings.deadline_seconds)
        everybody = [(kind, worker) for kind, workers in self._named.items() for worker in workers]
        for kind, worker in everybody:
            self._seen[kind, _name(worker)] = WorkerSeen(
                _name(worker), kind, worker.address, "", 0, 0, ready=False, seen=begun
            )
        await asyncio.gather(*(self._ask(kind, worker) for kind, worker in everybody))
        self._asking = [
            loop.create_task(self._follow(kind, worker), name=f"fleet-{worker.address}")
            for kind, worker in everybody
        ]

    async def aclose(self) -> None:
        """See `Fleet.aclose`."""
        asking, self._asking = self._asking, []
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        probe, self._probe = self._probe, None
        if probe is not None:
            await probe.aclose()

    async def _follow(self, kind: WorkerKind, worker: StaticWorker) -> None:
        while True:
            await asyncio.sleep(self._settings.ask_seconds)
            await self._ask(kind, worker)

    async def _ask(self, kind: WorkerKind, worker: StaticWorker) -> None:
        assert self._probe is not None
        before = self._seen[kind, _name(worker)]
        try:
            told = await self._answer(self._probe, worker)
            heard, why = now(), "" if told.ready else "it says so"
        except Unreachable as error:
            told = Told(before.engine, before.running, before.places, ready=False)
            heard, why = before.seen, str(error)
        if told.ready != before.ready:
            log.info("worker changed", kind=kind, name=before.name, ready=told.ready, why=why)
        self._seen[kind, _name(worker)] = WorkerSeen(
            before.name, kind, worker.address, told.engine, told.running, told.places, told.ready, heard
        )

    async def _answer(self, probe: Probe, worker: StaticWorker) -> Told:
        if worker.health != "grpc":
            try:
                return await probe.http(worker.url)
            except NotServing:
                if worker.health == "http":
                    raise
        return await probe.grpc(worker.address, tls=worker.tls, ca_file=worker.ca_file)


def _name(worker: StaticWorker) -> str:
    return worker.name or worker.address
