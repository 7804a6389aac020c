"""How one engine runs as a process of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from engines.fleet import AnnounceSettings
from engines.riva.endpointing import EndpointSettings
from engines.riva.limits import WireLimits
from engines.riva.server import GrpcSettings

ASR_PORT = 2233
TTS_PORT = 8876

_EVERYWHERE = ("0.0.0.0", "::", "")
"""Hosts that stand for every address of the machine."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The plain HTTP side: health for load balancers, metrics for Prometheus."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 0
    """0 to 65535; 0: the one after the gRPC port."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError("http.port: give 0 to 65535")


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What every worker needs beside its engine."""

    grpc: GrpcSettings = field(default_factory=GrpcSettings)
    """Where clients come in."""
    http: HttpSettings = field(default_factory=HttpSettings)
    """Where operators look."""
    limits: WireLimits = field(default_factory=WireLimits)
    """How much is taken."""
    language: str = "en-US"
    """For clients that name none."""
    drain_seconds: float = 30.0
    """0 to 3600: at shutdown, how long running requests may go on."""
    fleet: AnnounceSettings = field(default_factory=AnnounceSettings)
    """Whether and how gateways learn of this worker through Redis."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.drain_seconds <= 3600.0:
            raise ValueError("drain_seconds: give 0 to 3600")
        if self.fleet.enabled and not self.fleet.advertise and self.grpc.host.strip("[]") in _EVERYWHERE:
            raise ValueError(
                f"fleet.advertise: give the host:port that gateways reach; {self.grpc.host} is none"
            )


def _asr_port() -> GrpcSettings:
    return GrpcSettings(port=ASR_PORT)


def _tts_port() -> GrpcSettings:
    return GrpcSettings(port=TTS_PORT)


@dataclass(frozen=True, slots=True)
class AsrWorkerSettings(WorkerSettings):
    """A worker that turns speech into words."""

    grpc: GrpcSettings = field(default_factory=_asr_port)
    """Where clients come in."""
    endpoints: EndpointSettings = field(default_factory=EndpointSettings)
    """Where segments begin and end in streams whose clients leave it to us."""


@dataclass(frozen=True, slots=True)
class TtsWorkerSettings(WorkerSettings):
    """A worker that turns words into speech."""

    grpc: GrpcSettings = field(default_factory=_tts_port)
    """Where clients come in."""
