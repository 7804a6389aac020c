"""`offhook doctor`: does everything that a call needs work on this machine? Each failure says its cure."""

from __future__ import annotations

import asyncio
import errno
import math
import shutil
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from engines.base import Asr, AsrOptions, EngineError, Residency, Tts, TtsOptions
from gateway.agents.registry import AgentRegistry
from gateway.calls.settings import Engines
from gateway.certificates import CertificateUnfit, certificate_end
from gateway.config import Config, secrets_in
from gateway.dialplan.plan import BUILT_IN, Dialplan
from gateway.engine_room import Watch, open_asr, open_tts
from gateway.errors import GatewayError, PartFailed
from gateway.known_sentence import SPOKEN, understood
from gateway.logs import LogSettings, start_logs
from gateway.models import models_of
from gateway.record_keeper import open_folder
from gateway.store.checkup import StoreUnfit, check_store
from media.frame import AudioFrame, Pcm, frame_samples
from media.legs.base import LegError
from media.legs.sip_settings import OFF, SipSettings
from media.legs.sip_trunks import uri_host
from media.vad import open_detector

_RATE = 8000
_LAG_ROUNDS = 4
_LAG_SAMPLES = 150
_LAG_LIMIT = 0.02
_SPACE = 1 << 30


class Unwell(Exception):
    """A check failed: what is wrong, and the cure."""

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(what)
        self.cure = cure


@dataclass(frozen=True, slots=True)
class Patient:
    """What the checks look at."""

    config: Config
    closing: AsyncExitStack
    found: dict[str, Engines]
    """Engines, once they were loaded by their own check."""


Checkup = Callable[[Patient], Awaitable[str]]
"""Returns what was found, in a few words; raises `Unwell`."""


async def examine(config: Config) -> int:
    """Run every check and print what it found; returns 0 when all passed, 1 otherwise."""
    return await report(config, CHECKUPS)


async def report(config: Config, checkups: Mapping[str, Checkup]) -> int:
    """The same for a choice of checks."""
    console = Console(highlight=False)
    logs = start_logs(LogSettings(level="error"), secrets=secrets_in(config))
    failed = 0
    try:
        async with AsyncExitStack() as closing:
            patient = Patient(config, closing, {})
            for name, checkup in checkups.items():
                failed += not await _one(console, name, checkup, patient)
    finally:
        logs.close()
    verdict = "[bold red]not ready[/]" if failed else "[bold green]ready for calls[/]"
    console.print(f"\n{verdict}: {len(checkups) - failed} of {len(checkups)} checks passed")
    return 1 if failed else 0


async def _one(console: Console, name: str, checkup: Checkup, patient: Patient) -> bool:
    told: list[str] = []
    try:
        told = [f": {await checkup(patient)}"]
        good = True
    except Unwell as unwell:
        good = False
        told = [f": {unwell}", f"\n      cure: {unwell.cure}"]
    except (GatewayError, LegError, EngineError, OSError) as error:
        good = False
        told = [f": {error}"]
    except Exception as error:
        # The other checks still tell something.
        good = False
        told = [f": {type(error).__name__}: {error}", "\n      cure: report this mistake of Offhook's"]
    verdict = ("ok    ", "green") if good else ("FAIL  ", "red")
    console.print(Text.assemble(verdict, name, *told), soft_wrap=True)
    return good


async def _addresses(patient: Patient) -> str:
    sip, api = patient.config.sip, patient.config.api
    for section, host in (("sip", sip.host), ("api", api.host)):
        try:
            _bindable(host, 0, socket.SOCK_DGRAM)
        except OSError as error:
            cure = f"set {section}.host to an address of this machine (`ip address` lists them)"
            raise Unwell(f"{host} is no address of this machine: {error.strerror}", cure) from None
    if sip.host in ("0.0.0.0", "::") and not sip.advertised:
        cure = "set sip.advertised to the address at which peers reach this machine"
        raise Unwell(f"sip.host is {sip.host}: peers would be told no address to send audio to", cure)
    await _reachable_names(sip)
    reach = "this machine only" if sip.host.startswith("127.") else "the network"
    return f"SIP on {sip.host} ({reach}), HTTP on {api.host}"


async def _reachable_names(sip: SipSettings) -> None:
    """Names that we tell peers, or send to, must mean something."""
    told = [("sip.advertised", sip.advertised)]
    for trunk in sip.trunks:
        where = f"sip.trunks.{trunk.name}"
        told += [(f"{where}.advertised", trunk.advertised)]
        told += [(f"{where}.{field}", uri_host(getattr(trunk, field))) for field in ("registrar", "proxy")]
    for field, name in told:
        if not name:
            continue
        try:
            await asyncio.get_running_loop().getaddrinfo(name, None)
        except (OSError, UnicodeError):
            raise Unwell(f"{field}: {name} is unknown", "mend the name, or the machine's DNS") from None


async def _certificates(patient: Patient) -> str:
    sip = patient.config.sip
    if sip.tls_port == OFF:
        return "not needed, TLS is off"
    try:
        ends = await asyncio.to_thread(certificate_end, sip.tls)
    except CertificateUnfit as unfit:
        raise Unwell(str(unfit), unfit.cure) from None
    days = (ends - time.time()) / 86_400
    return f"{sip.tls.certificate} is good for {days:.0f} more days"


async def _ports(patient: Patient) -> str:
    sip, api = patient.config.sip_endpoint(), patient.config.api
    wanted = [
        ("sip.udp_port", sip.host, sip.udp_port, socket.SOCK_DGRAM),
        ("sip.tcp_port", sip.host, sip.tcp_port, socket.SOCK_STREAM),
        ("sip.tls_port", sip.host, sip.tls_port, socket.SOCK_STREAM),
        ("api.port", api.host, api.port, socket.SOCK_STREAM),
    ]
    missing, ports, fields = [], [], []
    for field, host, port, kind in wanted:
        if port <= 0:
            continue
        try:
            _bindable(host, port, kind)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise Unwell(
                    f"not tried, because {host} is no address of this machine", "see above"
                ) from None
            missing.append(f"{host} port {port} cannot be had: {error.strerror}")
            ports.append(f"{port}")
            fields.append(field)
    if missing:
        search = f"ss -lnp | grep {ports[0]}" if len(ports) == 1 else f"ss -lnp | grep -E '{'|'.join(ports)}'"
        cure = f"stop what uses it (`{search}`; is Offhook running already?), or set {' and '.join(fields)}"
        raise Unwell("; ".join(missing), cure)
    taken = [port for port in range(sip.rtp_first_port, sip.rtp_last_port, 2) if not _free(sip.host, port)]
    pairs = (sip.rtp_last_port - sip.rtp_first_port + 1) // 2
    calls = patient.config.limits.max_calls
    if pairs - len(taken) < calls:
        cure = "widen sip.rtp_first_port … sip.rtp_last_port, move them, or lower limits.max_calls"
        raise Unwell(f"only {pairs - len(taken)} of {pairs} RTP port pairs are free for {calls} calls", cure)
    return f"free; {pairs - len(taken)} of {pairs} RTP port pairs are free for {calls} calls"


async def _files(patient: Patient) -> str:
    folder = patient.config.node.record_dir
    try:
        open_folder(folder)
    except OSError as error:
        cure = "set node.record_dir, or give this user the right to write there"
        raise Unwell(f"{folder} cannot be written: {error.strerror}", cure) from None
    free = shutil.disk_usage(folder).free
    if free < _SPACE:
        raise Unwell(f"{free >> 20} MiB are free under {folder}", "free some space, or move node.record_dir")
    return f"records go to {folder}, {free >> 30} GiB free"


async def _redis(patient: Patient) -> str:
    redis, node = patient.config.redis, patient.config.node
    try:
        return await check_store(redis, Path(redis.folder) if redis.folder else node.record_dir / "store")
    except StoreUnfit as unfit:
        raise Unwell(str(unfit), unfit.cure) from None


async def _dialplan(patient: Patient) -> str:
    config = patient.config
    agents = AgentRegistry(config.agents)
    patient.closing.push_async_callback(agents.aclose)
    plan = Dialplan.load(config.dialplan.files or (BUILT_IN,), agents.names, config.dialplan.region)
    return f"{len(plan.routes)} routes: {', '.join(route.name for route in plan.routes)}"


async def _clock(patient: Patient) -> str:
    """Late timers mean a machine too busy, or too virtual, for sound in real time."""
    # Whatever else the machine does for a moment is no illness: the best of some rounds counts.
    worst = math.inf
    for _ in range(_LAG_ROUNDS):
        worst = min(worst, await _lateness())
        if worst <= _LAG_LIMIT:
            return f"timers run {worst * 1000:.1f} ms late at the 99th percentile"
    cure = "give this machine more processor, or stop what keeps it busy"
    raise Unwell(f"timers run up to {worst * 1000:.0f} ms late (99th percentile)", cure)


async def _lateness() -> float:
    """99th percentile of how late short timers run, in seconds."""
    loop = asyncio.get_running_loop()
    late = []
    for _ in range(_LAG_SAMPLES):
        due = loop.time() + 0.005
        await asyncio.sleep(0.005)
        late.append(loop.time() - due)
    return sorted(late)[int(len(late) * 0.99)]


async def _engines(patient: Patient) -> str:
    config = patient.config
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        asr = await open_asr(config, models_of(config), patient.closing, Watch())
        tts = await open_tts(config, models_of(config), patient.closing, Watch())
    except PartFailed as error:
        raise Unwell(str(error), "install what is missing, or choose another engine in asr and tts") from None
    for section, engine in (("asr", asr), ("tts", tts)):
        try:
            await engine.warm_up()
        except EngineError as error:
            cure = f"see that what the section {section} names is there, and that its server runs"
            raise Unwell(f"{section}.engine {engine.name} does not start: {error}", cure) from None
    limit = Residency(config.node.data)
    patient.found["engines"] = Engines(asr, tts, limit)
    loaded = loop.time() - began
    text = await _heard_of_itself(asr, tts, config.session.language, limit)
    if not understood(text):
        raise Unwell(f"the recogniser heard {text!r} of {SPOKEN!r}", "reinstall the engines: make setup")
    lame = [m.name for bench in (asr.bench, tts.bench) for m in bench.members if m.down or m.suspect]
    if lame:
        cure = "start what serves them, or take them out of asr.engines and tts.engines"
        raise Unwell(f"{', '.join(lame)} cannot be used; the other engines work", cure)
    return f"{asr.name} and {tts.name} loaded in {loaded:.1f} s and understand each other"


async def _loopback(patient: Patient) -> str:
    engines = patient.found.get("engines")
    if engines is None:
        raise Unwell("not tried, because the engines do not work", "see above")
    try:
        # Here and not above: the doctor must be able to tell that the native part is missing.
        from gateway.loopback_call import CallFailed, loopback_call
    except ImportError as error:
        raise Unwell(f"PJSIP is not installed: {error}", "build it: make setup") from None
    found = []
    sip = patient.config.sip
    for codec in dict.fromkeys([*sip.codecs, *(codec for trunk in sip.trunks for codec in trunk.codecs)]):
        try:
            result = await loopback_call(
                sip, codec, open_detector(patient.config.vad), engines, patient.config.session
            )
        except CallFailed as failure:
            cure = "check that nothing filters UDP on the loopback interface; `make setup` rebuilds PJSIP"
            raise Unwell(f"{codec}: {failure}", cure) from None
        found.append(f"{result.codec} {result.lost} lost, heard after {result.delay * 1000:.0f} ms")
    return "; ".join(found)


async def _heard_of_itself(asr: Asr, tts: Tts, language: str, limit: Residency) -> str:
    stream = asr.stream(AsrOptions(language, _RATE, interim=False, data=limit))
    stream.start(1)
    pts = 0
    async for chunk in tts.speak(SPOKEN, TtsOptions(_RATE, language=language, data=limit)):
        for frame in _frames(chunk.pcm, pts):
            stream.push(frame)
            pts = frame.end_pts
    stream.end()
    try:
        async with asyncio.timeout(10):
            async for transcript in stream.results():
                if transcript.is_final:
                    return transcript.text
    finally:
        await stream.aclose()
    return ""


def _frames(pcm: Pcm, pts: int) -> list[AudioFrame]:
    size = frame_samples(_RATE)
    whole = len(pcm) // size * size
    return [AudioFrame(pcm[at : at + size], _RATE, pts + at, 0.0) for at in range(0, whole, size)]


def _bindable(host: str, port: int, kind: socket.SocketKind) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def _free(host: str, port: int) -> bool:
    try:
        _bindable(host, port, socket.SOCK_DGRAM)
    except OSError:
        return False
    return True


CHECKUPS: dict[str, Checkup] = {
    "addresses": _addresses,
    "ports": _ports,
    "certificates": _certificates,
    "files": _files,
    "redis": _redis,
    "dialplan": _dialplan,
    "clock": _clock,
    "engines": _engines,
    "loopback call": _loopback,
}
"""In the order in which they are run: each stands on those before it."""
