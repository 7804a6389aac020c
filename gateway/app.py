"""The composition root: the only place that knows concrete classes. Starts in order, stops in reverse."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import TypeVar

import structlog

from engines import registry as engine_registry
from engines.base import AsrOptions, TtsOptions
from gateway.agents.registry import AgentRegistry
from gateway.api.app import create_api
from gateway.api.parts import ApiParts, CallView, Readiness, RecordFiles
from gateway.api.server import ApiServer
from gateway.calls.observer import SessionObserver
from gateway.calls.registry import CallRegistry
from gateway.calls.settings import Engines
from gateway.config import Config, secrets_in
from gateway.dialplan_watch import DialplanWatcher
from gateway.errors import PartFailed
from gateway.logs import start_logs
from gateway.metrics import Metrics
from gateway.observers import MetricsObserver
from gateway.reception import Desk, Reception
from gateway.record_keeper import RecordKeeper
from gateway.stall_probe import StallProbe
from media.legs.base import Leg
from media.legs.recorded import RecordedLeg
from media.legs.sip_endpoint import SipEndpoint
from media.recorder import TapeDisk
from media.vad import open_detector

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Offhook:
    """One node: SIP, speech, agents, dialplan and HTTP in one process."""

    def __init__(self, config: Config, observers: Sequence[SessionObserver] = ()) -> None:
        self.config = config
        self._observers = tuple(observers)
        self._closing = AsyncExitStack()

    async def start(self) -> None:
        """Build and start every part; what was started is stopped again when one fails.

        Raises `GatewayError` or `LegError` with the cure in its text.
        """
        try:
            await self._start()
        except BaseException:
            await self._closing.aclose()
            raise

    async def _start(self) -> None:
        config = self.config
        self.metrics = Metrics()
        self.engines = await self._open_engines()
        self.agents = AgentRegistry(config.agents)
        self._closing.push_async_callback(self.agents.aclose)
        self.dialplan = DialplanWatcher(config.dialplan, self.agents.names, self.metrics.dialplan_reloaded)
        self._closing.push_async_callback(self.dialplan.aclose)
        self.calls = CallRegistry(config.limits)
        self.keeper = RecordKeeper(config.node.record_dir)
        self._closing.push_async_callback(self.keeper.flush)
        self.tapes = TapeDisk()
        self._closing.push_async_callback(asyncio.to_thread, self.tapes.close)
        self.reception = Reception(self._desk())
        self._closing.push_async_callback(self.reception.aclose)
        self.sip = SipEndpoint(
            config.sip, self.reception.take, open_detector(config.vad), asyncio.get_running_loop()
        )
        await self.sip.start()
        self._closing.push_async_callback(self.sip.aclose)
        await self._start_api()
        self._watch()

    async def drain(self) -> None:
        """Take no new calls and let the running ones finish, for as long as the configuration grants."""
        cut = await self.calls.drain(self.config.node.drain_seconds)
        log.info("drained", cut=cut)

    async def aclose(self) -> None:
        """Stop every part, the last started first. Idempotent."""
        await self._closing.aclose()

    async def _open_engines(self) -> Engines:
        """Load both models at once: most of the start-up is spent here."""
        chosen = self.config
        asr = _made(engine_registry.asr, chosen.asr.engine, chosen.asr.settings)
        self._closing.push_async_callback(asr.aclose)
        tts = _made(engine_registry.tts, chosen.tts.engine, chosen.tts.settings)
        self._closing.push_async_callback(tts.aclose)
        await asyncio.gather(asr.warm_up(), tts.warm_up())
        return Engines(asr, tts)

    def _desk(self) -> Desk:
        config = self.config
        return Desk(
            plan=lambda: self.dialplan.plan,
            agent=self.agents.create,
            engines=self.engines,
            session=config.session,
            registry=self.calls,
            observers=(MetricsObserver(self.metrics), self.keeper, *self._observers),
            metrics=self.metrics.calls,
            wrap=self._tape if config.node.recordings else None,
        )

    def _tape(self, leg: Leg, call_id: str) -> Leg:
        return RecordedLeg(leg, self.config.node.record_dir / f"{call_id}.wav", self.tapes)

    async def _start_api(self) -> None:
        config = self.config
        parts = ApiParts(
            readiness=Readiness(self._probes(), deadline=config.api.probe_seconds),
            metrics=self.metrics.render,
            calls=self._running,
            record=RecordFiles(self.config.node.record_dir).record,
            version=version("offhook"),
        )
        self.api = ApiServer(create_api(parts, self.config.api), self.config.api)
        await self.api.start()
        self._closing.push_async_callback(self.api.aclose)

    def _watch(self) -> None:
        """What runs beside the calls and looks at them."""
        self.dialplan.start()
        probe = StallProbe(self.metrics.loop_lag, self.config.stall)
        probe.start()
        self._closing.callback(probe.close)
        self.metrics.watch_counters(
            "lost_on_disk", "Sound and records that the disk did not take", self._lost_on_disk
        )
        watch = self.metrics.watch_counters
        watch("sip_refusals", "SIP requests turned away", lambda: self.sip.refusals)
        self.metrics.watch_gauges("media", "SIP endpoint and frame bus", self.sip.stats)
        for kind, engine in (("asr", self.engines.asr), ("tts", self.engines.tts)):
            if (stats := getattr(engine, "stats", None)) is not None:
                self.metrics.watch_gauges(f"{kind}_engine", f"Counts of the {kind} engine", stats)

    def _lost_on_disk(self) -> dict[str, float]:
        return {"tape_blocks": self.tapes.dropped, "records": self.keeper.failures}

    def _running(self) -> list[CallView]:
        return [{"call_id": call.call_id} for call in self.calls]

    def _probes(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {"sip": self._sip_ready, "asr": self._asr_ready, "tts": self._tts_ready, "room": self._room}

    async def _sip_ready(self) -> None:
        if self.sip.counts()["callback_failures"] > 0 and not self.sip.ports:
            raise PartFailed("the SIP thread has stopped; restart the node")

    async def _asr_ready(self) -> None:
        stream = self.engines.asr.stream(AsrOptions(self.config.session.language))
        await stream.aclose()

    async def _tts_ready(self) -> None:
        session = self.config.session
        async for _ in self.engines.tts.speak("Ready.", TtsOptions(8000, session.voice, session.language)):
            return
        raise PartFailed("the voice gave no sound")

    async def _room(self) -> None:
        if self.calls.draining:
            raise PartFailed("the node is draining")
        if len(self.calls) >= self.config.limits.max_calls:
            raise PartFailed(f"all {self.config.limits.max_calls} places are taken")


def _made(make: Callable[[str, object], T], engine: str, settings: object) -> T:
    try:
        return make(engine, settings)
    except (engine_registry.UnknownEngine, engine_registry.EngineMissing) as error:
        raise PartFailed(str(error)) from error


async def serve(config: Config) -> None:
    """Run a node until SIGTERM or SIGINT, then drain and stop. A second signal stops at once."""
    output = start_logs(config.logs, secrets=secrets_in(config))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    node = Offhook(config)
    try:
        await node.start()
        for line in _where(node):
            log.info(line)
        await stop.wait()
        stop.clear()
        hurry = asyncio.ensure_future(stop.wait())
        draining = asyncio.ensure_future(node.drain())
        await asyncio.wait({hurry, draining}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        draining.cancel()
        await asyncio.gather(hurry, draining, return_exceptions=True)
    finally:
        await node.aclose()
        output.close()


def _where(node: Offhook) -> list[str]:
    """What an operator wants to know first."""
    host = node.config.sip.host
    lines = [
        f"call sip:{route}@{host}:{port};transport={transport}"
        for transport, port in node.sip.ports.items()
        for route in node.agents.names & {r.name for r in node.dialplan.plan.routes}
    ]
    return [*lines, f"health, metrics and calls on http://{node.config.api.host}:{node.api.port}"]
