"""The composition root: the only place that knows concrete classes. Starts in order, stops in reverse."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import structlog

from engines.base import Residency, TtsOptions
from engines.speech_cache import SpeechCache
from gateway.actions.flow import Reach
from gateway.actions.webhook import PlanHooks
from gateway.agents.base import Agent
from gateway.agents.registry import AgentRegistry
from gateway.agents.sound import SoundAgent
from gateway.api.app import create_api
from gateway.api.core.readiness import Readiness
from gateway.api.parts import ApiParts, RecordFiles
from gateway.api.server import ApiServer
from gateway.audio.files import AudioFiles
from gateway.audio.outbound import Outbound
from gateway.audio.settings import FetchSettings
from gateway.audio.sounds import SoundFiles
from gateway.calls.observer import SessionObserver
from gateway.calls.registry import CallRegistry
from gateway.calls.settings import Engines
from gateway.certificates import CertificateDistrusted, CertificateUnfit, certificate_end
from gateway.config import Config
from gateway.control_room import ControlRoom
from gateway.dialplan.watch import DialplanWatcher
from gateway.engine_room import Watch, open_asr, open_tts
from gateway.errors import PartFailed
from gateway.idle_memory import IdleMemory, give_back
from gateway.licensing import open_licence
from gateway.live_calls import LiveCalls
from gateway.metered import MeteredAgent, MeteredSound
from gateway.metrics import Metrics
from gateway.models import models_of
from gateway.node_probes import NodeProbes
from gateway.observers import MetricsObserver
from gateway.plan_health import AgentHealth
from gateway.prompts import Prompter
from gateway.reception import Desk, Reception
from gateway.record_keeper import RecordKeeper, open_folder
from gateway.route_run import USUAL_RATE, CallParts
from gateway.speech_room import SpeechRoom
from gateway.stall_probe import StallProbe
from gateway.store.call_sessions import CallSessions
from gateway.store.store import Store, open_store
from gateway.twiml.node import TwimlNode, open_node
from gateway.usage import CallUsage
from gateway.web_room import WebRoom
from gateway.webhook_signature import secret_octets
from media.legs.base import Leg, LegError
from media.legs.recorded import RecordedLeg
from media.legs.sip_endpoint import SipEndpoint
from media.legs.sip_settings import OFF
from media.recorder import TapeDisk
from media.vad import open_detector

log = structlog.get_logger(__name__)


class Offhook:
    """One node: SIP, speech, agents, dialplan and HTTP in one process."""

    def __init__(self, config: Config, observers: Sequence[SessionObserver] = ()) -> None:
        self.config = config
        self._observers = tuple(observers)
        self._closing = AsyncExitStack()
        self._draining: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Build and start every part; what was started is stopped again when one fails.

        Raises `GatewayError`, `LegError` or `EngineError` with the cure in its text.
        """
        try:
            await self._start()
        except BaseException:
            await self._closing.aclose()
            raise

    async def _start(self) -> None:
        config = self.config
        loop = asyncio.get_running_loop()
        self.metrics = Metrics()
        await self._check_certificate()
        await self._open_records()
        self.files = AudioFiles(config.audio)
        self._closing.push_async_callback(self.files.aclose)
        self.agents = AgentRegistry(config.agents, config.node.name, SoundFiles(self.files).sound)
        self._closing.push_async_callback(self.agents.aclose)
        self.store = await self._open_store()
        self.dialplan = DialplanWatcher(config.dialplan, self.agents.names, self._dialplan_read)
        self._closing.push_async_callback(self.dialplan.aclose)
        self.engines = await self._open_engines()
        self.licence = await open_licence(config, self.store, self._closing)
        self.calls = CallRegistry(config.limits)
        self.live = LiveCalls(loop.time)
        self.agent_health = AgentHealth(loop.time, self.metrics.engines.done)
        self.keeper = RecordKeeper(config.node.record_dir)
        self._closing.push_async_callback(self.keeper.flush)
        self.tapes = TapeDisk()
        self._closing.push_async_callback(asyncio.to_thread, self.tapes.close)
        self.twiml = self._open_twiml()
        self.control = ControlRoom(config, self.metrics, self._closing, self._asr_load)
        self.web = WebRoom(config, self.calls, self._closing)
        voice = open_detector(config.vad)
        self.sip = SipEndpoint(config.sip_endpoint(), lambda leg: self.reception.take(leg), voice, loop)
        self.dialer = self.control.open_dialer(self.sip, self.store.outbound)
        desk = self._desk()
        self.reception = Reception(desk)
        self._closing.push_async_callback(self.reception.aclose)
        self.reach = self._open_reach()
        self.control.open_calls(desk, self.calls, self.store.placed)
        await self._start_sip()
        await self.web.open(self.reception.take, self.metrics)
        await self._start_api()
        self._watch()
        self.control.keep_swept()
        self.prompter.prepare(self.dialplan.plan)

    async def drain(self) -> None:
        """Take no new calls and let the running ones finish, for as long as the configuration grants."""
        self.sip.drain()
        self.web.drain()
        self.speech.door.draining = True
        until = asyncio.get_running_loop().time() + self.config.node.drain_seconds
        cut = await self.calls.drain(self.config.node.drain_seconds)
        await self.speech.door.emptied(max(0.0, until - asyncio.get_running_loop().time()))
        streams_cut = await self.speech.door.cut(self.config.session.deadlines.close)
        log.info("drained", cut=cut, streams_cut=streams_cut)

    def _begin_drain(self) -> None:
        """Somebody asked over the API; the node stays up, and says how far it is."""
        if self._draining is None:
            log.info("draining", calls=len(self.calls), seconds=self.config.node.drain_seconds)
            self._draining = asyncio.get_running_loop().create_task(self.drain(), name="drain")
            self._closing.callback(self._draining.cancel)

    async def aclose(self) -> None:
        """Stop every part, the last started first. Idempotent."""
        await self._closing.aclose()

    async def _open_engines(self) -> Engines:
        """Load both models at once: most of the start-up is spent here."""
        chosen = self.config
        models = models_of(chosen)
        watch = Watch(self.metrics.engines.done, self.metrics.engines.switched)
        self._recogniser = await open_asr(chosen, models, self._closing, watch)
        self._voice = await open_tts(chosen, models, self._closing, watch)
        await asyncio.gather(self._recogniser.warm_up(), self._voice.warm_up())
        # What was spoken by other engines, or with other settings, is another prompt.
        shelf = self.store.prompts.of(repr(chosen.tts.entries()))
        self._cache = SpeechCache(self._voice, chosen.tts.cache, shelf)
        session, limit = chosen.session, Residency(chosen.node.data)
        spoken = TtsOptions(USUAL_RATE, session.voice, session.language, session.speed, data=limit)
        self.prompter = Prompter(self._cache, spoken, session.phrases, chosen.agents)
        self._closing.push_async_callback(self.prompter.aclose)
        return Engines(self._recogniser, self._cache, limit)

    def _may_call(self, running: int) -> str:
        return self.licence.refusal("calls", running, self.config.limits.max_calls)

    def _desk(self) -> Desk:
        config = self.config
        usage = CallUsage(self.licence, lambda: _wall().timestamp())
        parts = CallParts(
            agent=self._agent,
            engines=self.engines,
            session=config.session,
            observers=(
                MetricsObserver(self.metrics),
                self.live,
                self.keeper,
                usage,
                self.control.feed,
                self.control.book,
                self.control.load,
                self.twiml.progress,
                self._sessions(),
                self.web.pages,
                *self._observers,
            ),
            metrics=self.metrics.calls,
            live=self.live,
            add=self.calls.add,
            find=self.calls.get,
            own_ears=self.agents.own_ears,
            folder=config.node.record_dir,
            wall=_wall,
            reach=lambda: self.reach,
            transfers=self.dialer,
        )
        return Desk(
            plan=lambda: self.dialplan.plan,
            registry=self.calls,
            parts=parts,
            retry_after=config.limits.retry_after,
            wrap=self._tape if config.node.recordings else None,
            licence=self._may_call,
            down=self._down,
            feed=self.control.feed,
            overload=self.control.admission.judge,
            book=self.control.book,
            tape=self._tape,
        )

    def _open_reach(self) -> Reach:
        """What routes may reach beyond this node."""
        secret = self.config.dialplan.secret
        if not secret:
            return Reach(self.dialer, twiml=self.twiml)
        # Only the operator writes these addresses, so those of his own network are fine.
        sender = Outbound(FetchSettings(allow=("0.0.0.0/0", "::/0")))
        octets = secret_octets(secret.reveal(), "dialplan.secret")
        hooks = PlanHooks(sender, octets, time.time, lambda: uuid.uuid4().hex)
        self._closing.push_async_callback(hooks.aclose)
        self.metrics.watch_counters("plan_webhooks", "Webhooks of routes", lambda: {"dropped": hooks.dropped})
        return Reach(self.dialer, hooks, self.twiml)

    def _down(self) -> frozenset[str]:
        """What does not work now, for the dialplan's `health`."""
        at = asyncio.get_running_loop().time()
        benches = (self._recogniser.bench, self._voice.bench)
        lost = {bench.kind for bench in benches if not any(one.usable(at) for one in bench.members)}
        return self.agent_health.down() | lost

    def _open_twiml(self) -> TwimlNode:
        """Apps that answer calls with TwiML."""
        config = self.config
        files = AudioFiles(config.audio)
        self._closing.push_async_callback(files.aclose)
        node = open_node(
            config.twiml, config.node.name, config.node.record_dir, self._public_url, files, self.tapes, _wall
        )
        self._closing.push_async_callback(node.callbacks.aclose)
        self.metrics.watch_gauges("twiml", "Questions to TwiML apps, and status callbacks", node.stats)
        return node

    def _public_url(self) -> str:
        """Where apps reach the API."""
        api = self.config.api
        return self.config.twiml.public_url.rstrip("/") or f"http://{api.host}:{self.api.port}"

    def _agent(self, name: str) -> Agent | SoundAgent:
        agent, done = self.agents.create(name), self.agent_health.done
        return MeteredSound(agent, done) if isinstance(agent, SoundAgent) else MeteredAgent(agent, done)

    def _dialplan_read(self, ok: bool) -> None:
        self.metrics.dialplan_reloaded(ok)
        if ok:
            self.prompter.prepare(self.dialplan.plan)

    def _tape(self, leg: Leg, call_id: str) -> Leg:
        return RecordedLeg(leg, self.config.node.record_dir / f"{call_id}.wav", self.tapes)

    async def _start_api(self) -> None:
        config = self.config
        probes = NodeProbes(
            config, self.sip, self._recogniser, self._voice, self.engines.data, self.licence, self.store,
            self.calls, self.control.admission,
        )  # fmt: skip
        readiness = Readiness(probes.ready(), deadline=config.api.probe_seconds)
        room = SpeechRoom(config, self.store, self.metrics, self.licence, self._closing)
        self.speech = room.open(self.engines, self.files, readiness)
        parts = ApiParts(
            readiness=readiness,
            components=Readiness(probes.components(), deadline=config.api.probe_seconds),
            metrics=self.metrics.render,
            calls=self.live.views,
            record=RecordFiles(self.config.node.record_dir).record,
            version=version("offhook"),
            started=asyncio.get_running_loop().time(),
            door=self.speech.door,
            speech=self.speech if config.api.speech else None,
            web=self.web.api(self.store, self.speech.door, lambda: self.dialplan.plan),
            recordings=self.twiml.shelf if config.twiml.auth_token else None,
            control=self.control.api(self.speech, lambda: self.dialplan.plan, self.live, self._begin_drain),
            twilio=self.control.twilio(self.speech, self.twiml),
        )
        self.api = ApiServer(create_api(parts, self.config.api), self.config.api)
        await self.api.start()
        self._closing.push_async_callback(self.api.aclose)

    async def _check_certificate(self) -> None:
        """PJSIP starts without a certificate that it cannot read, and then refuses every TLS peer."""
        sip = self.config.sip
        if sip.tls_port == OFF:
            return
        try:
            await asyncio.to_thread(certificate_end, sip.tls)
        except CertificateDistrusted as unfit:
            log.warning("peers may refuse the TLS certificate", why=str(unfit), cure=unfit.cure)
        except CertificateUnfit as unfit:
            raise PartFailed(f"{unfit}; {unfit.cure}") from None

    async def _open_records(self) -> None:
        folder = self.config.node.record_dir
        try:
            await asyncio.to_thread(open_folder, folder)
        except OSError as error:
            cure = "set node.record_dir, or give this user the right to write there"
            raise PartFailed(f"records cannot be written to {folder}: {error.strerror}; {cure}") from None

    async def _open_store(self) -> Store:
        config = self.config
        folder = Path(config.redis.folder) if config.redis.folder else config.node.record_dir / "store"
        store = await open_store(config.redis, config.node.name, folder)
        self._closing.push_async_callback(store.aclose)
        return store

    def _sessions(self) -> CallSessions:
        return CallSessions(self.store.sessions, self.live.facts, time.time)

    async def _start_sip(self) -> None:
        try:
            await self.sip.start()
        except LegError as error:
            sip = self.config.sip
            ports = (("udp", sip.udp_port), ("tcp", sip.tcp_port), ("tls", sip.tls_port))
            wanted = ", ".join(f"{name} port {port}" for name, port in ports if port > 0) or "free ports"
            cure = "`offhook doctor` says which part cannot be had, and the cure"
            raise PartFailed(f"{error.detail} (on {sip.host}, {wanted}); {cure}") from None
        self._closing.push_async_callback(self.sip.aclose)

    def _watch(self) -> None:
        """What runs beside the calls and looks at them."""
        self.dialplan.start()
        idle = IdleMemory(lambda: len(self.calls), give_back)
        idle.start()
        self._closing.push_async_callback(idle.aclose)
        probe = StallProbe(self._lagged, self.config.stall)
        probe.start()
        self._closing.callback(probe.close)
        counters, gauges = self.metrics.watch_counters, self.metrics.watch_gauges
        counters("lost_on_disk", "Sound and records that the disk did not take", self._lost_on_disk)
        counters("sip_refusals", "SIP requests turned away", lambda: self.sip.refusals)
        gauges("media", "SIP endpoint and frame bus", self.sip.stats)
        gauges("sip_registration", "Last answer of each trunk's registrar", lambda: self.sip.registrations)
        gauges("speech_cache", "Prompts kept, and how often they served", self._cache.stats)
        gauges("store", "Redis: is it there, what was dropped without it, what waits", self.store.stats)
        for bench in (self._recogniser.bench, self._voice.bench):
            gauges(f"{bench.kind}_engine", f"The {bench.kind} engines: state, load, counts", bench.stats)

    def _lagged(self, seconds: float) -> None:
        self.metrics.loop_lag(seconds)
        self.control.admission.lag(seconds)

    def _asr_load(self) -> float:
        """Of the recogniser that has most room, with one stream more; 0 where nobody knows."""
        at = asyncio.get_running_loop().time()
        members = [one for one in self._recogniser.bench.members if one.usable(at)]
        if not members or not all(one.places for one in members):
            return 0.0
        return min(one.load + 1 / one.places for one in members)

    def _lost_on_disk(self) -> dict[str, float]:
        return {"tape_blocks": self.tapes.dropped, "records": self.keeper.failures}


def _wall() -> datetime:
    return datetime.now(UTC)
