"""An engine as a process of its own: starts, says how far it is, serves, drains.

`serve_asr` and `serve_tts` run until SIGTERM or SIGINT. The ports are open from the first moment on, so that
health checks see the worker load and warm up instead of a closed door.
"""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import threading
from collections.abc import Callable, Coroutine
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

import structlog

from engines.base import Asr, EngineError, Tts
from engines.fleet import WorkerKind
from engines.fleet_announce import Announcer, Load
from engines.models.base import Report
from engines.redis_client import RedisClient
from engines.registry import EngineMissing, UnknownEngine
from engines.riva.asr_service import AsrService
from engines.riva.door import Door
from engines.riva.endpointing import LevelJudge, VoiceJudge
from engines.riva.server import PortTaken, RivaServer
from engines.riva.tts_service import TtsService
from engines.traits import facts_of, trouble_of
from engines.worker_http import HttpServer, Page
from engines.worker_metrics import WorkerMetrics
from engines.worker_settings import AsrWorkerSettings, TtsWorkerSettings, WorkerSettings

log = structlog.get_logger(__name__)

E = TypeVar("E", bound="Engine")


class WorkerFailed(RuntimeError):
    """The worker cannot start or serve; the message says why and what to do."""


class State(StrEnum):
    """Where a worker is in its life."""

    DOWNLOADING = "downloading"
    LOADING = "loading"
    WARMING = "warming"
    READY = "ready"
    FAILED = "failed"
    """The engine is out of order for good; the process ends, for whoever starts it again."""
    DRAINING = "draining"


_LOOK_SECONDS = 1.0
"""Between two looks whether the engine is still in order."""
_TELL_SECONDS = 3.0
"""How long a worker says that it has failed before its ports close."""
_STARTING = frozenset({State.DOWNLOADING, State.LOADING, State.WARMING})


class Engine(Protocol):
    """What recognisers and voices have in common."""

    @property
    def name(self) -> str: ...

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...


class Worker:
    """One engine behind one gRPC port and one HTTP port."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.metrics = WorkerMetrics()
        self.door = Door(settings.limits, self.metrics)
        self.state = State.LOADING
        self._settings = settings
        self._detail = ""
        self._changing = threading.Lock()
        self._engine: Engine | None = None
        self._grpc: RivaServer | None = None
        self._announcer: Announcer | None = None
        self._http = HttpServer({
            "/health": self._health,
            "/live": self._live,
            "/metrics": lambda: Page(self.metrics.render(), "text/plain; version=1.0.0; charset=utf-8"),
        })  # fmt: skip

    @property
    def ports(self) -> tuple[int, int]:
        """gRPC and HTTP, once they listen."""
        return (self._grpc.port if self._grpc else 0), self._http.port

    def report(self, detail: str) -> None:
        """How far loading is; shown by `/health`. A first word that is a state's name is the state.

        Raises `WorkerFailed` once the worker is to stop, so that loading ends too.
        """
        word = detail.partition(" ")[0]
        with self._changing:  # the loading thread asks and sets; a stop in between must not be overwritten
            if self.state not in _STARTING:
                raise WorkerFailed("the worker was stopped while it loaded")
            self._set(State(word) if word in _STARTING else self.state)
            self._detail = detail

    async def listen(self, asr: AsrService | None = None, tts: TtsService | None = None) -> None:
        """Open both ports. Raises `WorkerFailed`."""
        settings = self._settings
        self._enter(State.LOADING)
        self._grpc = RivaServer(settings.grpc, settings.limits, asr, tts)
        http_port = settings.http.port
        try:
            await self._grpc.start()
            if not http_port and settings.grpc.port:
                http_port = settings.grpc.port + 1
            await self._http.start(settings.http.host, http_port)
        except PortTaken as error:
            raise WorkerFailed(str(error)) from error
        except OSError as error:
            cure = "change http.host, http.port or grpc.tls"
            raise WorkerFailed(f"cannot listen or read TLS files: {error.strerror}; {cure}") from error

    def announce(self, kind: WorkerKind, client: RedisClient | None = None) -> None:
        """After `listen`: tell gateways through Redis that this worker is here, where the settings say so."""
        settings = self._settings
        if settings.fleet.enabled and self._announcer is None:
            host = settings.grpc.host
            listens = f"[{host}]" if ":" in host and not host.startswith("[") else host
            address = f"{listens}:{self.ports[0]}"
            self._announcer = Announcer(settings.fleet, kind, address, self._load_now, client)
            self._announcer.start()

    async def load(self, make: Callable[[Report], E]) -> E:
        """Make the engine in a thread of its own and warm it up. Raises `WorkerFailed`."""
        try:
            engine = await asyncio.to_thread(make, self.report)
        except (EngineError, EngineMissing, UnknownEngine) as error:
            raise WorkerFailed(str(error)) from error
        self._engine = engine
        self._enter(State.WARMING)
        try:
            await engine.warm_up()
        except EngineError as error:
            raise WorkerFailed(f"{engine.name} does not run: {error}") from error
        if callable(stats := getattr(engine, "stats", None)):
            self.metrics.watch_engine(stats)
        self.metrics.tell_engine(engine.name, facts_of(engine))
        return engine

    def ready(self) -> None:
        """Tell everybody that requests are served."""
        # A full pass of the garbage collector stops all streams: what was loaded once is kept out of it.
        gc.collect()
        gc.freeze()
        self._enter(State.READY)
        if self._grpc is not None:
            self._grpc.ready(True)
        log.info("worker ready", engine=self._engine.name if self._engine else "", **facts_of(self._engine))

    async def trouble(self) -> str:
        """Returns when the engine is out of order for good, with the reason."""
        while True:
            if told := trouble_of(self._engine):
                return told
            await asyncio.sleep(_LOOK_SECONDS)

    async def fail(self, reason: str) -> None:
        """Tell everybody that nothing is served any more, for a moment, before the ports close."""
        self._enter(State.FAILED)
        self._detail = reason
        log.error("the engine is out of order", engine=self._engine.name if self._engine else "", why=reason)
        self.door.close(f"the worker is out of order; use another: {reason}")
        if self._grpc is not None:
            self._grpc.ready(False)
        if self._announcer is not None:
            await self._announcer.withdraw()
        await asyncio.sleep(_TELL_SECONDS)

    def give_up(self) -> None:
        """Load no further."""
        self._enter(State.DRAINING)

    async def drain(self) -> None:
        """Take nothing new and let running requests finish, for as long as the settings grant."""
        self._enter(State.DRAINING)
        self.door.close("the worker is being stopped; use another")
        if self._grpc is not None:
            self._grpc.ready(False)
        if self._announcer is not None:
            await self._announcer.withdraw()
        try:
            async with asyncio.timeout(self._settings.drain_seconds):
                await self.door.empty()
        except TimeoutError:
            log.warning("requests were cut at shutdown", running=self.door.taken)

    async def aclose(self) -> None:
        """Withdraw, close the ports, then the engine. Idempotent."""
        announcer, self._announcer = self._announcer, None
        if announcer is not None:
            await announcer.aclose()
        if self._grpc is not None:
            await self._grpc.aclose()
        await self._http.aclose()
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.aclose()

    def _enter(self, state: State) -> None:
        with self._changing:
            self._set(state)

    def _set(self, state: State) -> None:
        self.state = state
        self._detail = ""
        self.metrics.state(state, State)

    def _load_now(self) -> Load:
        engine = self._engine.name if self._engine else ""
        return Load(engine, self.door.taken, self._settings.limits.streams, self.state is State.READY)

    def _live(self) -> Page:
        if self.state is State.FAILED:
            return Page(b"failed\n", status=HTTPStatus.SERVICE_UNAVAILABLE)
        return Page(b"alive\n")

    def _health(self) -> Page:
        told = {
            "state": self.state.value,
            "detail": self._detail,
            "engine": self._engine.name if self._engine else None,
            "facts": facts_of(self._engine),
            "running": self.door.taken,
            "places": self._settings.limits.streams,
        }
        status = HTTPStatus.OK if self.state is State.READY else HTTPStatus.SERVICE_UNAVAILABLE
        return Page(json.dumps(told).encode() + b"\n", "application/json", status)


async def serve_asr(
    make: Callable[[Report], Asr],
    settings: AsrWorkerSettings,
    judge: Callable[[], VoiceJudge] = LevelJudge,
) -> None:
    """Serve the recogniser that `make` makes, until SIGTERM or SIGINT. Raises `WorkerFailed`.

    `make` runs in a thread. `judge` tells voice from noise in streams whose clients do not cut segments.
    """
    worker = Worker(settings)
    service = AsrService(worker.door, settings.limits, settings.endpoints, settings.language, judge)
    await _serve(worker, service, None, make, service.begin)


async def serve_tts(make: Callable[[Report], Tts], settings: TtsWorkerSettings) -> None:
    """Serve the voice that `make` makes, until SIGTERM or SIGINT. Raises `WorkerFailed`."""
    worker = Worker(settings)
    service = TtsService(worker.door, settings.limits, settings.language)
    await _serve(worker, None, service, make, service.begin)


async def _serve(
    worker: Worker,
    asr: AsrService | None,
    tts: TtsService | None,
    make: Callable[[Report], E],
    begin: Callable[[E], None],
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stopping = loop.create_task(stop.wait())
    try:
        await worker.listen(asr, tts)
        worker.announce("asr" if asr is not None else "tts")
        loading = loop.create_task(worker.load(make))
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not loading.done():
            worker.give_up()
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
            return
        begin(loading.result())
        worker.ready()
        failing = loop.create_task(worker.trouble())
        await asyncio.wait({stopping, failing}, return_when=asyncio.FIRST_COMPLETED)
        failing.cancel()
        if not stopping.done():
            reason = failing.result()
            await worker.fail(reason)
            raise WorkerFailed(f"the engine is out of order: {reason}; start the worker again")
        stop.clear()
        await _first(worker.drain(), stop.wait())
    finally:
        stopping.cancel()
        await worker.aclose()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _first(*works: Coroutine[Any, Any, Any]) -> None:
    """Until one of them is done; a second signal so ends the draining."""
    tasks = [asyncio.ensure_future(work) for work in works]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
