"""What calls of ours have used of a day's minutes and money, for all nodes, and over restarts."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from gateway.control.guard import Spent
from gateway.errors import StoreLost
from gateway.store.keys import Keys
from gateway.store.link import Link

_LIFE = 3 * 86_400
"""Seconds."""


class OutboundTotals:
    """Adds up behind; what Redis did not take is kept and added when it is back."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link, self._keys = link, keys
        self._owed: dict[tuple[str, str], Spent] = defaultdict(Spent)
        self._turn = asyncio.Lock()

    async def add(self, trunk: str, day: str, minutes: int, cost: int) -> None:
        """So much more was used. Never raises, and waits one deadline at most."""
        owed = self._owed[trunk, day]
        owed.minutes += minutes
        owed.cost += cost
        await self.read(trunk, day)

    async def read(self, trunk: str, day: str) -> Spent:
        """What all nodes have used, as far as Redis knows; nothing when it is away."""
        async with self._turn:
            owed = self._owed.pop((trunk, day), Spent())
            key = self._keys.outbound(trunk, day)
            try:
                async with asyncio.timeout(2.0):
                    minutes = await self._link.call(lambda c: c.hincrby(key, "minutes", owed.minutes))
                    owed.minutes = 0
                    cost = await self._link.call(lambda c: c.hincrby(key, "cost", owed.cost))
                    owed.cost = 0
                    await self._link.call(lambda c: c.expire(key, _LIFE))
            except (StoreLost, TimeoutError):
                self._link.dropped["outbound_totals"] += 1
                again = self._owed[trunk, day]
                again.minutes += owed.minutes
                again.cost += owed.cost
                return Spent()
            return Spent(int(minutes), int(cost))
