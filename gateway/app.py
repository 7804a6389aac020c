"""The composition root: the only place that knows concrete classes. Starts in order, stops in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import structlog

from engines.base import AsrOptions, Residency, TtsOptions
from engines.speech_cache import SpeechCache
from gateway import collector
from gateway.actions.flow import Reach
from gateway.actions.webhook import PlanHooks
from gateway.agents.base import Agent
from gateway.agents.registry import AgentRegistry
from gateway.agents.sound import SoundAgent
from gateway.api.app import create_api
from gateway.api.core.door import Door
from gateway.api.core.readiness import Readiness
from gateway.api.core.residency import WithinAsr, WithinTts
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.core.voice_bench import VoiceBench
from gateway.api.parts import ApiParts, RecordFiles
from gateway.api.server import ApiServer
from gateway.api.settings import is_loopback
from gateway.api.webrtc.channels import PageChannels
from gateway.api.webrtc.parts import WebRtcParts
from gateway.api.webrtc.tokens import AloneUse, CallTokens, TokenUse
from gateway.audio.files import AudioFiles
from gateway.audio.outbound import Outbound
from gateway.audio.settings import FetchSettings
from gateway.audio.sounds import SoundFiles
from gateway.batch.callbacks import Callbacks
from gateway.batch.jobs import Jobs
from gateway.batch.queue import JobQueue, MemoryQueue
from gateway.batch.recordings import BatchEars, Recordings
from gateway.batch.store_queue import StoreQueue
from gateway.calls.observer import SessionObserver
from gateway.calls.orders import CallHandle, Order, OrderRefused
from gateway.calls.registry import CallRegistry
from gateway.calls.settings import Engines
from gateway.certificates import CertificateDistrusted, CertificateUnfit, certificate_end
from gateway.config import Config, secrets_in
from gateway.control_room import ControlRoom
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.watch import DialplanWatcher
from gateway.engine_room import Watch, open_asr, open_tts
from gateway.errors import PartFailed
from gateway.idle_memory import IdleMemory, give_back
from gateway.keys.keyring import Keyring
from gateway.keys.limits import KeyLimits, MemoryLimits
from gateway.licensing import licence_ready, open_licence
from gateway.live_calls import LiveCalls
from gateway.logs import start_logs
from gateway.metered import MeteredAgent, MeteredSound
from gateway.metrics import Metrics
from gateway.models import models_of
from gateway.observers import MetricsObserver
from gateway.plan_health import AgentHealth
from gateway.prompts import Prompter
from gateway.reception import Desk, Reception
from gateway.record_keeper import RecordKeeper, open_folder
from gateway.route_run import USUAL_RATE, CallParts
from gateway.stall_probe import StallProbe
from gateway.store.call_sessions import CallSessions
from gateway.store.key_limits import SharedKeyLimits
from gateway.store.store import Store, open_store
from gateway.store.stream_sessions import StreamSessions
from gateway.store.token_use import SharedTokenUse
from gateway.twiml.node import TwimlNode, open_node
from gateway.usage import CallUsage, ReportedWatch
from gateway.webhook_signature import BadSecret, secret_octets
from gateway.webrtc_settings import LONGEST_TOKEN
from media.legs.base import Leg, LegError
from media.legs.recorded import RecordedLeg
from media.legs.sip_endpoint import SipEndpoint
from media.legs.sip_settings import OFF, SipTransport
from media.legs.webrtc_endpoint import WebRtcEndpoint
from media.recorder import TapeDisk
from media.vad import open_detector

log = structlog.get_logger(__name__)

T = TypeVar("T")

SIP_PORT = 5060
"""The port that a SIP address without one means (RFC 3261 section 19.1.2)."""

_FILE_THREADS = 4


class Offhook:
    """One node: SIP, speech, agents, dialplan and HTTP in one process."""

    def __init__(self, config: Config, observers: Sequence[SessionObserver] = ()) -> None:
        self.config = config
        self._observers = tuple(observers)
        self._trying: set[asyncio.Task[None]] = set()
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
        self.pages = PageChannels(loop.time)
        voice = open_detector(config.vad)
        self.sip = SipEndpoint(config.sip_endpoint(), lambda leg: self.reception.take(leg), voice, loop)
        self.dialer = self.control.open_dialer(self.sip, self.store.outbound)
        desk = self._desk()
        self.reception = Reception(desk)
        self._closing.push_async_callback(self.reception.aclose)
        self.reach = self._open_reach()
        self.control.open_calls(desk, self.calls)
        await self._start_sip()
        await self._start_web()
        await self._start_api()
        self._watch()
        self.control.keep_swept()
        self.prompter.prepare(self.dialplan.plan)

    async def drain(self) -> None:
        """Take no new calls and let the running ones finish, for as long as the configuration grants."""
        self.sip.drain()
        if self.web is not None:
            self.web.drain()
        self.speech.door.draining = True
        until = asyncio.get_running_loop().time() + self.config.node.drain_seconds
        cut = await self.calls.drain(self.config.node.drain_seconds)
        await self.speech.door.emptied(max(0.0, until - asyncio.get_running_loop().time()))
        log.info("drained", cut=cut, streams_cut=self.speech.door.taken)

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

    def _open_speech(self, readiness: Readiness) -> SpeechParts:
        """What the speech APIs are given: the calls' own engines, behind a door of their own."""
        config = self.config
        watch = ReportedWatch(self.metrics.api, self.licence, lambda: _wall().timestamp())
        bench = VoiceBench(open_detector(config.vad))
        self._closing.push_async_callback(bench.aclose)
        door = Door(
            Keyring(config.api.keys_file) if config.api.asks_keys else None,
            self._key_limits(),
            _wall,
            places=config.api.limits.places,
            counted=watch.turned_away,
            licence=self.licence,
        )
        files = self.files
        recordings = Recordings(files, config.batch, config.api.limits.listen)
        self._closing.push_async_callback(recordings.aclose)
        self.metrics.watch_gauges("audio_files", "Audio files by how they ended, processes", files.stats)
        asr = WithinAsr(self.engines.asr, self.engines.data)
        return SpeechParts(
            asr=asr,
            tts=WithinTts(self.engines.tts, self.engines.data),
            recordings=recordings,
            jobs=self._open_jobs(BatchEars(asr, bench), recordings),
            door=door,
            bench=bench,
            wall=_wall,
            new_id=lambda: str(uuid.uuid4()),
            limits=config.api.limits,
            segmenter=config.session.segmenter,
            language=config.session.language,
            version=version("offhook"),
            watch=watch,
            streams=StreamSessions(self.store.sessions, time.time),
            readiness=readiness,
        )

    def _key_limits(self) -> KeyLimits:
        """Counted over all nodes where they share a Redis; a node alone needs no round trip for it."""
        if self.store.mode != "external":
            return MemoryLimits(asyncio.get_running_loop().time)
        shared = SharedKeyLimits(self.store.limits)
        shared.start()
        self._closing.push_async_callback(shared.aclose)
        return shared

    def _open_jobs(self, ears: BatchEars, recordings: Recordings) -> Jobs:
        """Recordings recognised later."""
        batch = self.config.batch
        try:
            callbacks = Callbacks(batch.callback, recordings.files.outbound, lambda: _wall().timestamp())
        except BadSecret as error:
            raise PartFailed(str(error)) from error
        jobs = Jobs(ears, recordings, self._job_queue(), callbacks, settings=batch)
        jobs.start()
        self._closing.push_async_callback(jobs.aclose)
        self.metrics.watch_gauges("callbacks", "Callbacks with results of recordings", callbacks.stats)
        return jobs

    def _job_queue(self) -> JobQueue:
        """Shared with other nodes where Redis is, and there after a restart; in memory they end with it."""
        if self.store.mode != "process":
            node, redis = f"{self.config.node.name}-{uuid.uuid4().hex[:8]}", self.config.redis
            return StoreQueue(
                self.store.jobs, node, lease=redis.job_lease_seconds, attempts=redis.job_attempts
            )
        return MemoryQueue(waiting=self.config.batch.jobs_waiting, kept=self.config.batch.jobs_kept)

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
                self.pages,
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
        readiness = Readiness(self._probes(), deadline=config.api.probe_seconds)
        self.speech = self._open_speech(readiness)
        parts = ApiParts(
            readiness=readiness,
            components=Readiness(self._components(), deadline=config.api.probe_seconds),
            metrics=self.metrics.render,
            calls=self.live.views,
            record=RecordFiles(self.config.node.record_dir).record,
            version=version("offhook"),
            started=asyncio.get_running_loop().time(),
            door=self.speech.door,
            speech=self.speech if config.api.speech else None,
            web=self._web_parts(),
            recordings=self.twiml.shelf if config.twiml.auth_token else None,
            control=self.control.api(self.speech, lambda: self.dialplan.plan, self.live, self._begin_drain),
            twilio=self.control.twilio(self.speech, self.twiml),
        )
        self.api = ApiServer(create_api(parts, self.config.api), self.config.api)
        await self.api.start()
        self._closing.push_async_callback(self.api.aclose)

    async def _start_web(self) -> None:
        """Calls from web pages, where they are wanted."""
        config = self.config
        self.web: WebRtcEndpoint | None = None
        if not config.webrtc.enabled:
            return
        loop = asyncio.get_running_loop()
        voice = open_detector(config.vad)
        self.web = WebRtcEndpoint(config.webrtc_endpoint(), self.reception.take, voice, loop)
        await self.web.start()
        self._closing.push_async_callback(self.web.aclose)
        self.metrics.watch_gauges("webrtc", "Calls from web pages", self.web.stats)
        self.metrics.watch_counters("webrtc_refusals", "Offers turned away", self._web_refusals)

    def _token_use(self) -> TokenUse:
        """Known to all nodes where they share a Redis."""
        if self.store.mode != "external":
            return AloneUse()
        return SharedTokenUse(self.store.limits, LONGEST_TOKEN)

    def _obey(self, call_id: str, order: Order) -> None:
        call = self.calls.get(call_id)
        if call is not None:
            task = asyncio.get_running_loop().create_task(_tried(call, order))
            self._trying.add(task)
            task.add_done_callback(self._trying.discard)

    def _web_refusals(self) -> dict[str, int]:
        return dict(self.web.refusals) if self.web is not None else {}

    def _web_parts(self) -> WebRtcParts | None:
        if self.web is None:
            return None
        section, wall = self.config.webrtc, lambda: _wall().timestamp()
        return WebRtcParts(
            settings=section,
            calls=self.web,
            tokens=CallTokens(section.token_secret.reveal(), wall, self._token_use()),
            channels=self.pages,
            door=self.speech.door,
            obey=self._obey,
            rates=MemoryLimits(asyncio.get_running_loop().time),
            wall=wall,
            targets=lambda: list(_exact_numbers(self.dialplan.plan)),
        )

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

    def _probes(self) -> dict[str, Callable[[], Awaitable[None]]]:
        probes: dict[str, Callable[[], Awaitable[None]]] = {
            "sip": self._sip_ready, "asr": self._asr_ready, "tts": self._tts_ready, "room": self._room,
        }  # fmt: skip
        if self.config.license.proxy:
            probes["license"] = lambda: licence_ready(self.licence)
        return probes

    def _components(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What health is asked of by name: of what calls do without, too."""
        probes = {name: probe for name, probe in self._probes().items() if name in ("asr", "tts", "license")}
        if self.store.mode != "process":
            probes["redis"] = self._redis_ready
        return probes

    async def _redis_ready(self) -> None:
        if not self.store.link.up:
            raise PartFailed("Redis is lost; calls and streams go on without it")

    async def _sip_ready(self) -> None:
        await self.sip.ping()

    async def _asr_ready(self) -> None:
        session = self.config.session
        stream = self._recogniser.stream(AsrOptions(session.language, USUAL_RATE, data=self.engines.data))
        await stream.aclose()

    async def _tts_ready(self) -> None:
        session = self.config.session
        # The voice itself, not the cache in front of it.
        options = TtsOptions(USUAL_RATE, session.voice, session.language, data=self.engines.data)
        async for _ in self._voice.speak("Ready.", options):
            return
        raise PartFailed("the voice gave no sound")

    async def _room(self) -> None:
        if self.calls.draining:
            raise PartFailed("the node is draining")
        if why := self.control.admission.state(len(self.calls)):
            raise PartFailed(f"the running calls leave no room: {why}")
        if len(self.calls) >= self.config.limits.max_calls:
            raise PartFailed(f"all {self.config.limits.max_calls} places are taken")


async def _tried(call: CallHandle, order: Order) -> None:
    """Ask a call for something; that it refuses is told to nobody."""
    with contextlib.suppress(OrderRefused):
        await call.obey(order)


def _wall() -> datetime:
    return datetime.now(UTC)


async def serve(config: Config) -> None:
    """Run a node until SIGTERM or SIGINT, then drain and stop. A second signal stops at once."""
    output = start_logs(config.logs, secrets=secrets_in(config))
    signals: asyncio.Queue[None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    # Files and names are looked up on these; few are enough, and their number does not grow with the calls.
    loop.set_default_executor(ThreadPoolExecutor(_FILE_THREADS, "offhook-files"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, None)
    node = Offhook(config)
    try:
        asr, tts = ([entry.name for entry in part.entries()] for part in (config.asr, config.tts))
        log.info("starting", asr=asr, tts=tts, version=version("offhook"))
        await node.start()
        collector.settle()
        node.metrics.watch_counters(
            "log_lines_dropped", "Log lines that a slow output did not take", lambda: {"log": output.dropped}
        )
        _tell_where(node)
        await signals.get()
        await _drain(node, signals)
    finally:
        await node.aclose()
        log.info("stopped")
        output.close()


async def _drain(node: Offhook, signals: asyncio.Queue[None]) -> None:
    """Let calls finish; a signal that comes meanwhile ends them."""
    log.info("draining", calls=len(node.calls), seconds=node.config.node.drain_seconds)
    hurry = asyncio.ensure_future(signals.get())
    draining = asyncio.ensure_future(node.drain())
    done, _ = await asyncio.wait({hurry, draining}, return_when=asyncio.FIRST_COMPLETED)
    hurry.cancel()
    draining.cancel()
    await asyncio.gather(hurry, draining, return_exceptions=True)
    if hurry in done:
        log.warning("stopping at once", calls=len(node.calls))
        await node.calls.drain(0)


def _tell_where(node: Offhook) -> None:
    """What an operator wants to know first: whom to dial, and where to look."""
    config, plan = node.config, node.dialplan.plan
    if plan.skipped:
        log.info("routes left out, their agents are not configured", routes=list(plan.skipped))
    if config.node.recordings:
        log.info("calls are recorded", folder=str(config.node.record_dir))
    base = f"http://{_address(config.api.host)}:{node.api.port}"
    if config.api.speech:
        _tell_keys(config)
    log.info("http is up", health=f"{base}/health", ready=f"{base}/ready", metrics=f"{base}/metrics")
    log.info("ready for calls", dial=list(_dialable(node)))


def _tell_keys(config: Config) -> None:
    """Whether a stranger could use the speech APIs must not be a surprise."""
    api = config.api
    if api.asks_keys:
        log.info("the API asks for keys; `offhook keys create` makes one", file=str(api.keys_file))
    elif is_loopback(api.host):
        log.info("the API asks for no key: it listens on loopback only", keys=str(api.keys))
    else:
        log.warning("the API asks for no key, and others can reach it", host=api.host, keys=str(api.keys))


def _dialable(node: Offhook) -> Iterator[str]:
    """An address for each route that can be dialled by one exact name."""
    sip = node.config.sip
    host = _address(sip.advertised or sip.host)
    transport, port = next(iter(node.sip.ports.items()))
    where = host if port == SIP_PORT else f"{host}:{port}"
    suffix = "" if transport is SipTransport.UDP else f";transport={transport}"
    for number in _exact_numbers(node.dialplan.plan):
        yield f"sip:{number}@{where}{suffix}"


def _exact_numbers(plan: Dialplan) -> Iterator[str]:
    """One for each route that can be dialled by one exact name."""
    for route in plan.routes:
        if route.refuses is None and route.match.called and route.match.called[0].exact:
            yield route.match.called[0].written


def _address(host: str) -> str:
    """As it stands in a URI."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
