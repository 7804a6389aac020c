"""One connection to a Riva server for all calls of this process: opened when needed, watched, reopened."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import structlog

from engines.base import EngineError, EngineFailed
from engines.riva.refusal import error_of
from engines.riva.wire import Message, Status, grpc, health_pb2, health_pb2_grpc

log = structlog.get_logger(__name__)

Metadata: TypeAlias = tuple[tuple[str, str], ...]

_RETRY = 0.25
"""Seconds before a health check that failed is tried again."""
_KEY = re.compile(r"[a-z0-9_.-]+")
_PRINTABLE = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Where the server is and how we show ourselves."""

    address: str = "127.0.0.1:50051"
    """`host:port` of an Offhook worker, a Riva server or a NIM."""
    tls: bool = False
    """Encrypt; needed for hosted servers."""
    ca_file: str = ""
    """Path of a PEM file with the authority to believe; empty: those that gRPC carries."""
    certificate: str = ""
    """Path of a PEM file with our certificate, where the server asks for one."""
    key: str = ""
    """Path of a PEM file with its key."""
    server_name: str = ""
    """Name expected in the server's certificate, when it is not the address's."""
    api_key: str = field(default="", repr=False)
    """Sent as `authorization: Bearer ...`; over TLS only."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Further entries sent with each request, such as `function-id` for hosted NIMs; lower-case names."""
    connect_seconds: float = 2.0
    """0.05 to 60: longest wait for the server's first answer on a new connection."""
    start_seconds: float = 30.0
    """0.05 to 3600: longest wait, at our start, for the server to be up and ready."""
    check_seconds: float = 5.0
    """0.1 to 600: how often health is asked for where the server cannot tell by itself."""
    keepalive_seconds: float = 10.0
    """1 to 3600: a connection silent for so long is probed."""
    keepalive_wait: float = 3.0
    """0.1 to 60: seconds a probe waits for its answer before the connection is given up."""

    def __post_init__(self) -> None:
        host, colon, port = self.address.rpartition(":")
        if not (host and colon and port.isdigit() and 0 < int(port) < 65536):
            raise ValueError(f"address: give host:port, not {self.address!r}")
        self._check_tls()
        for name, value in self.metadata.items():
            if not _KEY.fullmatch(name) or name.startswith("grpc-") or name.endswith("-bin"):
                raise ValueError(f"metadata: {name!r} is no name; use a-z, 0-9, '-', '_' and '.'")
            if not _PRINTABLE.fullmatch(value):
                raise ValueError(f"metadata: the value of {name!r} must be printable ASCII")
        ranges = {
            "connect_seconds": (0.05, 60.0), "start_seconds": (0.05, 3600.0), "check_seconds": (0.1, 600.0),
            "keepalive_seconds": (1.0, 3600.0), "keepalive_wait": (0.1, 60.0),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: give {low:g} to {high:g} seconds")

    def _check_tls(self) -> None:
        files = {"ca_file": self.ca_file, "certificate": self.certificate, "key": self.key}
        for name, file in files.items():
            if file and not self.tls:
                raise ValueError(f"{name}: is of no use without tls: true")
        if bool(self.certificate) != bool(self.key):
            raise ValueError("key: give certificate and key together")
        if self.api_key and not self.tls:
            raise ValueError("api_key: would be sent in the clear; set tls: true")
        if not _PRINTABLE.fullmatch(self.api_key):
            raise ValueError("api_key: must be printable ASCII")


def good(done: asyncio.Future[Any]) -> bool:
    """Has it a result? Looks at its error, so that one which nobody waits for is no complaint."""
    return not done.cancelled() and done.exception() is None


class Link:
    """A channel and what is known of its far end. Belongs to the loop that first uses it."""

    def __init__(self, settings: LinkSettings) -> None:
        self.settings = settings
        self.metadata: Metadata = tuple(settings.metadata.items())
        if settings.api_key:
            self.metadata += (("authorization", f"Bearer {settings.api_key}"),)
        self._channel: Any = None
        self._watching: asyncio.Task[None] | None = None
        self._down = ""
        self._closed = False
        self.falls = 0
        """How often the server went down; what it said of itself before may no longer hold."""

    @property
    def down(self) -> str:
        """Why the server is known not to serve; "" when it serves, or nothing is known yet."""
        return self._down

    def open(self) -> Any:
        """The channel. Raises `EngineFailed` when it was closed, or TLS files cannot be read."""
        if self._closed:
            raise EngineFailed("the connection was closed")
        if self._channel is None:
            self._channel = _channel(self.settings)
            self._watching = asyncio.get_running_loop().create_task(self._watch(), name="riva-health")
        return self._channel

    def check(self) -> Any:
        """The channel of a server that is not known to be down. Raises `EngineFailed`."""
        channel = self.open()
        if self._down:
            raise EngineFailed(f"{self.settings.address} does not serve: {self._down}")
        return channel

    async def ask(
        self, method: Callable[..., Awaitable[Message]], request: Message, patience: float
    ) -> Message:
        """One answer; waits for the server to be up and ready within `patience` seconds.

        Raises `EngineError`.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while True:
            try:
                left = max(0.0, until - loop.time())
                return await method(request, metadata=self.metadata, timeout=left, wait_for_ready=True)
            except grpc.aio.AioRpcError as error:
                if error.code() is not Status.UNAVAILABLE or loop.time() + _RETRY >= until:
                    raise self.error(error.code(), error.details()) from None
            await asyncio.sleep(_RETRY)  # a worker answers while it still loads its model

    def error(self, code: Status, details: str | None) -> EngineError:
        """A status from this server as an error that names it."""
        return error_of(code, f"{self.settings.address}: {details or ''}")

    async def aclose(self) -> None:
        """Close the channel; running calls end. Idempotent."""
        self._closed = True
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def _watch(self) -> None:
        """Keep `down` true for as long as the link lives."""
        stub = health_pb2_grpc.HealthStub(self._channel)
        follow = self._follow
        while True:
            try:
                await follow(stub)
                self._set_down("it stopped telling its health")
            except grpc.aio.AioRpcError as error:
                if error.code() is Status.UNIMPLEMENTED:
                    follow = self._poll if follow == self._follow else self._believe
                    continue
                self._set_down(f"{error.code().name} {error.details()}")
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is None or task.cancelling():
                    raise
                self._set_down("it ended our health check")  # gRPC raises this for the status CANCELLED
            await asyncio.sleep(_RETRY)

    async def _follow(self, stub: Any) -> None:
        """The server tells every change."""
        request = health_pb2.HealthCheckRequest()
        async for answer in stub.Watch(request, metadata=self.metadata):
            self._judge(answer)

    async def _poll(self, stub: Any) -> None:
        """The server answers when asked."""
        while True:
            request = health_pb2.HealthCheckRequest()
            patience = self.settings.connect_seconds
            self._judge(await stub.Check(request, metadata=self.metadata, timeout=patience))
            await asyncio.sleep(self.settings.check_seconds)

    async def _believe(self, stub: Any) -> None:
        """The server knows nothing of health: it is up while the connection is."""
        states = grpc.ChannelConnectivity
        while True:
            state = self._channel.get_state(try_to_connect=True)
            broken = state in (states.TRANSIENT_FAILURE, states.SHUTDOWN)
            self._set_down("no connection" if broken else "")
            await self._channel.wait_for_state_change(state)

    def _judge(self, answer: Message) -> None:
        serving = answer.status == health_pb2.HealthCheckResponse.SERVING
        self._set_down("" if serving else "it says that it is not ready")

    def _set_down(self, why: str) -> None:
        if bool(why) != bool(self._down):
            log.info("riva server changed", address=self.settings.address, down=why)
            self.falls += bool(why)
        self._down = why


def _channel(settings: LinkSettings) -> Any:
    options: list[tuple[str, int | str]] = [
        ("grpc.keepalive_time_ms", round(settings.keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", round(settings.keepalive_wait * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.enable_retries", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if not settings.tls:
        return grpc.aio.insecure_channel(settings.address, options=options)
    if settings.server_name:
        options.append(("grpc.ssl_target_name_override", settings.server_name))
    try:
        files = (settings.ca_file, settings.key, settings.certificate)
        credentials = grpc.ssl_channel_credentials(*(Path(f).read_bytes() if f else None for f in files))
    except OSError as error:
        raise EngineFailed(f"TLS file {error.filename} cannot be read: {error.strerror}") from None
    return grpc.aio.secure_channel(settings.address, credentials, options=options)
