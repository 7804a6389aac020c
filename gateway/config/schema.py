"""The sections of the configuration. Each part's settings live beside the part; here they meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from engines.models.settings import ModelSettings
from engines.router import RouterSettings
from engines.worker_settings import AsrWorkerSettings, TtsWorkerSettings
from gateway.agents.echo import EchoSettings
from gateway.agents.registry import AgentSettings
from gateway.api.settings import ApiSettings, is_loopback
from gateway.audio.settings import AudioSettings
from gateway.batch.settings import BatchSettings
from gateway.calls.registry import RegistrySettings
from gateway.calls.settings import SessionSettings
from gateway.config.engine_sections import AsrSection, FleetSettings, TtsSection
from gateway.control.admission import AdmissionSettings
from gateway.control.event_settings import EventSettings
from gateway.control.outbound_settings import OutboundSettings
from gateway.control.settings import ControlSettings
from gateway.dialplan.watch import DialplanSettings
from gateway.license_settings import LicenseSettings
from gateway.logs import LogSettings
from gateway.stall_probe import StallSettings
from gateway.store.settings import RedisSettings
from gateway.twiml.settings import TwimlSettings
from gateway.webrtc_settings import TRUNK, WebRtcSection
from media.legs.sip_settings import SipSettings
from media.legs.webrtc_settings import WebRtcSettings
from media.vad import VadSettings

SPARE_PLACES = 32
"""SIP calls beyond `limits.max_calls` that are refused one by one, with a record of why; the SIP side turns
away what comes beyond them by itself, as cheaply as it can."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """This process among others."""

    name: str = "offhook"
    """Its name in logs, records and the SIP User-Agent; letters, digits, dots and dashes."""
    drain_seconds: float = 30.0
    """At shutdown, how long running calls may go on before they are ended; 0 or more."""
    record_dir: Path = Path("recordings")
    """Folder for each call's record (JSON, with what was said) and its sound (WAV); made when missing."""
    keep_days: int = 0
    """Days after which records and recordings are deleted, whole days at once; 0 keeps them for ever."""
    recordings: bool = False
    """Keep the sound of calls as WAV, caller left and agent right. The law may ask you to tell the caller."""
    data: Literal["node", "site", "cloud"] = "site"
    """How far callers' sound and words may go to be recognised and spoken: `node`: not beyond this machine;
    `site`: machines of your own; `cloud`: anybody's. Engines beyond it are never used, whatever fails; a
    route of the dialplan may set a closer limit."""

    def __post_init__(self) -> None:
        if not self.name or not all(c.isalnum() or c in ".-" for c in self.name):
            raise ValueError("name: must be letters, digits, dots and dashes")
        if not 0 <= self.keep_days <= 36_500:
            raise ValueError("keep_days: must lie between 0 and 36500")
        if self.drain_seconds < 0:
            raise ValueError("drain_seconds: must be 0 or more")


def _agents() -> dict[str, EchoSettings]:
    return {"echo": EchoSettings()}


@dataclass(frozen=True, slots=True)
class Config:
    """Everything an operator can set."""

    node: NodeSettings = field(default_factory=NodeSettings)
    """This process: its name, its shutdown, its folder of records."""
    sip: SipSettings = field(default_factory=SipSettings)
    """SIP and RTP: addresses, codecs, limits, trunks."""
    webrtc: WebRtcSection = field(default_factory=WebRtcSection)
    """Calls from web pages: who may, ICE servers, sockets."""
    vad: VadSettings = field(default_factory=VadSettings)
    """How voice is told from everything else on the line."""
    asr: AsrSection = field(default_factory=AsrSection)
    """What turns speech into words."""
    tts: TtsSection = field(default_factory=TtsSection)
    """What turns words into speech."""
    router: RouterSettings = field(default_factory=RouterSettings)
    """When another engine takes over, where there are several."""
    fleet: FleetSettings = field(default_factory=FleetSettings)
    """Where workers announce themselves."""
    asr_worker: AsrWorkerSettings = field(default_factory=AsrWorkerSettings)
    """`offhook asr`: the recogniser above, served to others."""
    tts_worker: TtsWorkerSettings = field(default_factory=TtsWorkerSettings)
    """`offhook tts`: the voice above, served to others."""
    models: ModelSettings = field(default_factory=ModelSettings)
    """Where model files that are not installed with an engine come from, and where they are kept."""
    session: SessionSettings = field(default_factory=SessionSettings)
    """How a call is served: turns, barge-in, guards, phrases, deadlines, language, voice."""
    agents: Mapping[str, AgentSettings] = field(default_factory=_agents)
    """Agents by the names that the dialplan uses. A list of your own replaces the built-in `echo`."""
    dialplan: DialplanSettings = field(default_factory=DialplanSettings)
    """Which calls are taken and what happens in them."""
    admission: AdmissionSettings = field(default_factory=AdmissionSettings)
    """When new calls are refused for the sake of the running ones."""
    outbound: OutboundSettings = field(default_factory=OutboundSettings)
    """Calls of ours and transfers: nothing is allowed until a rule says so."""
    control: ControlSettings = field(default_factory=ControlSettings)
    """Calls that are ordered and steered over the API."""
    events: EventSettings = field(default_factory=EventSettings)
    """What happens to calls, for subscribers and webhooks."""
    twiml: TwimlSettings = field(default_factory=TwimlSettings)
    """Apps that answer calls with TwiML, as Twilio's do."""
    limits: RegistrySettings = field(default_factory=RegistrySettings)
    """How many calls this node takes, whatever network they come through."""
    api: ApiSettings = field(default_factory=ApiSettings)
    """The HTTP side: health, readiness, metrics, calls."""
    audio: AudioSettings = field(default_factory=AudioSettings)
    """Audio files that clients send or name: limits, decoders, who may be asked for them."""
    license: LicenseSettings = field(default_factory=LicenseSettings)
    """The licence proxy; none by default, and then nothing is checked or reported."""
    batch: BatchSettings = field(default_factory=BatchSettings)
    """Recordings: how many at once beside live calls, jobs, and callbacks with their results."""
    redis: RedisSettings = field(default_factory=RedisSettings)
    """What nodes share: sessions, jobs, usage, rate limits, prompts. Calls never wait for it."""
    logs: LogSettings = field(default_factory=LogSettings)
    """What is logged, and how."""
    stall: StallSettings = field(default_factory=StallSettings)
    """The probe that watches whether the event loop keeps up."""

    def __post_init__(self) -> None:
        followed = any(entry.fleet for part in (self.asr, self.tts) for entry in part.engines)
        if followed and not (self.fleet.redis or self.redis.url):
            raise ValueError("fleet.redis: is needed for engines with fleet: true; give it, or redis.url")
        trunks = {trunk.name for trunk in self.sip.trunks}
        for rule in self.outbound.rules:
            if rule.trunk not in trunks:
                raise ValueError(f"outbound.rules: no trunk is called {rule.trunk!r}; sip.trunks has them")
        if any(trunk.name == TRUNK for trunk in self.sip.trunks):
            raise ValueError(f"sip.trunks: {TRUNK} is the name of calls from pages; choose another")
        pairs = (self.sip.rtp_last_port - self.sip.rtp_first_port + 1) // 2
        if pairs < self.limits.max_calls:
            raise ValueError(
                f"sip.rtp_last_port: {pairs} port pairs cannot carry {self.limits.max_calls} calls; "
                "raise it, or lower limits.max_calls"
            )

    def webrtc_endpoint(self) -> WebRtcSettings:
        """The WebRTC side's settings: its room taken from `limits`, its addresses from `api` unless set."""
        limits, media = self.limits, self.webrtc.media
        hosts = media.hosts or (("127.0.0.1",) if is_loopback(self.api.host) else _bound(self.api.host))
        return replace(
            media,
            hosts=hosts,
            max_calls=limits.max_calls + SPARE_PLACES,
            retry_after_s=max(1, limits.retry_after),
        )

    def sip_endpoint(self) -> SipSettings:
        """The SIP side's settings with its room taken from `limits`.

        It has some places to spare, so that calls that are ending never cost a new one its place.
        """
        limits = self.limits
        return replace(
            self.sip, max_calls=limits.max_calls + SPARE_PLACES, retry_after_s=max(1, limits.retry_after)
        )


def _bound(host: str) -> tuple[str, ...]:
    """All addresses of this machine where the API listens on all of them."""
    return ("*",) if host in ("0.0.0.0", "::") else (host,)
