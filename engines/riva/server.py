"""A worker's gRPC side: Riva's services over any engine, with health and reflection, on one port."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from engines.riva.asr_service import AsrService
from engines.riva.garbled import GarbledRefused
from engines.riva.health import Health
from engines.riva.limits import WireLimits
from engines.riva.tts_service import TtsService
from engines.riva.wire import (
    ASR_SERVICE,
    HEALTH_SERVICE,
    TTS_SERVICE,
    asr_grpc,
    grpc,
    health_pb2_grpc,
    reflection,
    tts_grpc,
)

log = structlog.get_logger(__name__)

_SPARE = 1200
"""Requests beyond the streams that gRPC lets in: health watches, and those that are told that we are full."""


class PortTaken(RuntimeError):
    """The port cannot be listened on; the message says what to change."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What the worker shows, and whom it believes; paths of PEM files."""

    certificate: str = ""
    """Certificate chain of this worker; empty: no TLS, for networks that nobody else is on."""
    key: str = ""
    """Its private key."""
    clients: str = ""
    """Authority of the clients' certificates; empty: clients need none."""

    def __post_init__(self) -> None:
        if self.enabled != bool(self.key):
            raise ValueError("tls.key: give certificate and key together")
        if self.clients and not self.enabled:
            raise ValueError("tls.clients: needs certificate and key")

    @property
    def enabled(self) -> bool:
        """Whether the port speaks TLS."""
        return bool(self.certificate)

    def credentials(self) -> Any:
        """For gRPC. Raises OSError."""
        clients = Path(self.clients).read_bytes() if self.clients else None
        pair = (Path(self.key).read_bytes(), Path(self.certificate).read_bytes())
        return grpc.ssl_server_credentials([pair], clients, require_client_auth=clients is not None)


@dataclass(frozen=True, slots=True)
class GrpcSettings:
    """The port and what holds for every connection."""

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` or `[::]` for all."""
    port: int = 0
    """0 to 65535; 0: the system chooses."""
    tls: TlsFiles = field(default_factory=TlsFiles)
    """Encryption; none by default."""
    keepalive_seconds: float = 15.0
    """1 to 3600: a connection silent for so long is probed, so that vanished clients are noticed."""
    keepalive_wait: float = 5.0
    """0.1 to 60: seconds a probe waits for its answer before the connection is given up."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError("port: give 0 to 65535")
        if not 1.0 <= self.keepalive_seconds <= 3600.0:
            raise ValueError("keepalive_seconds: give 1 to 3600")
        if not 0.1 <= self.keepalive_wait <= 60.0:
            raise ValueError("keepalive_wait: give 0.1 to 60")


class RivaServer:
    """Listens from `start` to `aclose`. Health says "not serving" until `ready`."""

    def __init__(
        self,
        settings: GrpcSettings,
        limits: WireLimits,
        asr: AsrService | None = None,
        tts: TtsService | None = None,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._asr = asr
        self._tts = tts
        self._server: Any = None
        self._health = Health(self._services())
        self.port = 0
        """The port it listens on, from `start` on."""

    async def start(self) -> None:
        """Listen. Raises `PortTaken`, and OSError for TLS files that cannot be read."""
        server = grpc.aio.server(
            options=_options(self._settings, self._limits),
            maximum_concurrent_rpcs=self._limits.streams + _SPARE,
            interceptors=[GarbledRefused()],
        )
        if self._asr is not None:
            asr_grpc.add_RivaSpeechRecognitionServicer_to_server(self._asr, server)
        if self._tts is not None:
            tts_grpc.add_RivaSpeechSynthesisServicer_to_server(self._tts, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection([*self._services(), reflection.SERVICE_NAME], server)
        self.port = self._bind(server)
        await server.start()
        self._server = server
        log.info("gRPC listens", host=self._settings.host, port=self.port, tls=self._settings.tls.enabled)

    def ready(self, serving: bool) -> None:
        """Tell health checks whether this worker serves."""
        self._health.set(serving)

    async def aclose(self, grace: float = 0.5) -> None:
        """Stop; requests still running after `grace` seconds are cancelled. Idempotent."""
        server, self._server = self._server, None
        if server is not None:
            self._health.set(False)
            await asyncio.sleep(0)
            await server.stop(grace)

    def _bind(self, server: Any) -> int:
        where = f"{self._settings.host}:{self._settings.port}"
        try:
            if self._settings.tls.enabled:
                port: int = server.add_secure_port(where, self._settings.tls.credentials())
            else:
                port = server.add_insecure_port(where)
        except RuntimeError:
            port = 0
        if not port:
            raise PortTaken(f"cannot listen on {where}; stop what uses it, or choose another host or port")
        return port

    def _services(self) -> Sequence[str]:
        names = [HEALTH_SERVICE]
        if self._asr is not None:
            names.append(ASR_SERVICE)
        if self._tts is not None:
            names.append(TTS_SERVICE)
        return names


def _options(settings: GrpcSettings, limits: WireLimits) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", limits.message_bytes),
        ("grpc.max_send_message_length", limits.message_bytes),
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_time_ms", round(settings.keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", round(settings.keepalive_wait * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", 1000),
        ("grpc.max_metadata_size", 16 * 1024),
    ]
