"""How often a key may begin something, and how much at once: counted by one node, or by all of them."""

from __future__ import annotations

import itertools
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Protocol

_KEYS_COUNTED = 10_000


class KeyLimits(Protocol):
    """Counts what keys begin and have. `gateway.store.key_limits` shares it among nodes."""

    async def take(self, key_id: str, per_minute: int) -> float:
        """Count one; returns 0, or the seconds after which the next will be taken."""

    async def enter(self, key_id: str, at_once: int) -> str:
        """A place among so many, until `leave`; "" when all are taken."""

    async def leave(self, key_id: str, place: str) -> None:
        """Give a place back. Never raises."""


class MemoryLimits:
    """One node's `KeyLimits`: for each key a bucket that refills evenly (a "leaky bucket as a meter")."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: seconds, monotonic."""
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()
        """When each key's bucket will have run empty."""
        self._inside: Counter[str] = Counter()
        self._names = itertools.count(1)

    async def take(self, key_id: str, per_minute: int) -> float:
        """See `KeyLimits.take`."""
        now = self._clock()
        each = 60.0 / per_minute
        empty_at = max(now, self._full_at.get(key_id, now)) + each
        if empty_at - now > 60.0 + 1e-9:
            return empty_at - now - 60.0
        self._full_at[key_id] = empty_at
        self._full_at.move_to_end(key_id)
        if len(self._full_at) > _KEYS_COUNTED:
            self._full_at.popitem(last=False)
        return 0.0

    async def enter(self, key_id: str, at_once: int) -> str:
        """See `KeyLimits.enter`."""
        if self._inside[key_id] >= at_once:
            return ""
        self._inside[key_id] += 1
        return str(next(self._names))

    async def leave(self, key_id: str, place: str) -> None:
        """See `KeyLimits.leave`."""
        self._inside[key_id] -= 1
        if self._inside[key_id] <= 0:
            del self._inside[key_id]
