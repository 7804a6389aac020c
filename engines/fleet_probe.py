"""One question to one worker: how are you? Over HTTP, as our workers answer it, or by `grpc.health.v1`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic_core import from_json

from engines.riva.wire import grpc, health_pb2, health_pb2_grpc

_LONGEST = 65_536
"""Octets of an answer that are read."""


class Unreachable(Exception):
    """The worker gave no answer that says how it is."""


class NotServing(Unreachable):
    """Nobody there speaks this protocol; the other one may be tried."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a worker said."""

    engine: str
    running: int
    places: int
    ready: bool


class Probe:
    """Asks many workers over connections that are kept. Every question ends within the deadline."""

    def __init__(self, deadline: float) -> None:
        """`deadline`: seconds."""
        self._deadline = deadline
        # One deadline over all of it, below; httpx has only one for each step.
        self._client = httpx.AsyncClient(timeout=None, trust_env=False)
        self._channels: dict[str, Any] = {}

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    async def http(self, url: str) -> Told:
        """The worker's own words. Raises `NotServing` or `Unreachable`."""
        try:
            async with asyncio.timeout(self._deadline), self._client.stream("GET", url) as answer:
                body = b""
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > _LONGEST:
                        raise NotServing(f"{url} answered with more than {_LONGEST} octets")
        except TimeoutError:
            raise Unreachable(f"{url} did not answer within {self._deadline:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotServing(f"{url}: {type(error).__name__}") from None
        return _told(url, answer.status_code, body)

    async def grpc(self, address: str, *, tls: bool = False, ca_file: str = "") -> Told:
        """Whether it serves; more it does not tell. Raises `Unreachable`."""
        stub = health_pb2_grpc.HealthStub(await self._channel(address, tls, ca_file))
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=self._deadline)
        except grpc.aio.AioRpcError as error:
            raise Unreachable(f"{address}: {error.code().name}") from None
        return Told("", 0, 0, answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def _channel(self, address: str, tls: bool, ca_file: str) -> Any:
        if address not in self._channels:
            if tls:
                try:
                    authority = await asyncio.to_thread(Path(ca_file).read_bytes) if ca_file else None
                except OSError as error:
                    raise Unreachable(f"{ca_file} cannot be read: {error.strerror}") from None
                channel = grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(authority))
            else:
                channel = grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
            self._channels[address] = channel
        return self._channels[address]


def _told(url: str, status: int, body: bytes) -> Told:
    """Our workers' JSON; of anybody else's page only the status counts."""
    try:
        told = from_json(body)
    except ValueError:
        told = None
    if isinstance(told, dict) and isinstance(told.get("state"), str):
        return Told(
            str(told.get("engine") or "")[:100],
            _count(told.get("running")),
            _count(told.get("places")),
            status == 200 and told["state"] == "ready",
        )
    if status in (200, 503):
        return Told("", 0, 0, status == 200)
    raise NotServing(f"{url} answered {status}")


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
