"""`grpc.health.v1` for one worker: who asks is answered, who watches is told of every change."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from engines.riva.wire import Message, Status, health_pb2

_SERVING: int = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: int = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN: int = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

MOST_WATCHERS = 1024
"""Watches held at once; the next is refused with RESOURCE_EXHAUSTED."""


class Health:
    """Serves `Check`, `List` and `Watch` for the worker as a whole ("") and each of its services."""

    def __init__(self, services: Iterable[str]) -> None:
        self._known = {"", *services}
        self._serving = False
        self._changed = asyncio.Event()
        self._watchers = 0

    def set(self, serving: bool) -> None:
        """Tell everybody."""
        self._serving = serving
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def Check(self, request: Message, context: Any) -> Message:
        """See the health protocol."""
        if request.service not in self._known:
            await context.abort(Status.NOT_FOUND, f"service: {request.service[:80]!r} is not served here")
        return self._answer(request.service)

    async def List(self, request: Message, context: Any) -> Message:
        """See the health protocol, to which newer releases of its library have added this."""
        return health_pb2.HealthListResponse(statuses={name: self._answer(name) for name in self._known})

    async def Watch(self, request: Message, context: Any) -> None:
        """See the health protocol."""
        if self._watchers >= MOST_WATCHERS:
            await context.abort(Status.RESOURCE_EXHAUSTED, f"{MOST_WATCHERS} clients watch already")
        self._watchers += 1
        try:
            told: Message | None = None
            while True:
                changed = self._changed
                answer = self._answer(request.service)
                if answer != told:
                    await context.write(answer)
                    told = answer
                await changed.wait()
        finally:
            self._watchers -= 1

    def _answer(self, service: str) -> Message:
        status = _SERVING if self._serving else _NOT_SERVING
        return health_pb2.HealthCheckResponse(status=status if service in self._known else _UNKNOWN)
