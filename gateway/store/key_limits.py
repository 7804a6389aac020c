"""The limits of API keys, counted over all nodes of one Redis."""

from __future__ import annotations

import asyncio
import uuid

from engines.redis_client import cancelled
from gateway.store.limits import Limits

LEASE_SECONDS = 30.0
"""A node that is silent for so long has lost its places: those of a killed one come back."""


class SharedKeyLimits:
    """A `gateway.keys.limits.KeyLimits`; without Redis each node counts for itself."""

    def __init__(self, limits: Limits, lease_seconds: float = LEASE_SECONDS) -> None:
        self._limits, self._lease = limits, lease_seconds
        self._held: dict[str, tuple[str, int]] = {}
        """Our places: the key's id, and how many it may have."""
        self._renewing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to renew."""
        self._renewing = asyncio.get_running_loop().create_task(self._renew(), name="key-limits")

    async def aclose(self) -> None:
        """Give every place back. Idempotent."""
        renewing, self._renewing = self._renewing, None
        if renewing is None:
            return
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        for place, (key_id, _) in list(self._held.items()):
            await self.leave(key_id, place)

    async def take(self, key_id: str, per_minute: int) -> float:
        """See `KeyLimits.take`."""
        return await self._limits.take(f"rate-{key_id}", per_minute)

    async def enter(self, key_id: str, at_once: int) -> str:
        """See `KeyLimits.enter`."""
        place = uuid.uuid4().hex
        if not await self._limits.enter(f"places-{key_id}", place, at_once, self._lease):
            return ""
        self._held[place] = (key_id, at_once)
        return place

    async def leave(self, key_id: str, place: str) -> None:
        """See `KeyLimits.leave`."""
        self._held.pop(place, None)
        await self._limits.leave(f"places-{key_id}", place)

    async def _renew(self) -> None:
        while not cancelled():
            await asyncio.sleep(self._lease / 3)
            for place, (key_id, at_once) in list(self._held.items()):
                # One that was lost meanwhile and is another's by now: what runs goes on all the same.
                await self._limits.enter(f"places-{key_id}", place, at_once, self._lease)
                if place not in self._held:  # it ended while we asked
                    await self._limits.leave(f"places-{key_id}", place)
