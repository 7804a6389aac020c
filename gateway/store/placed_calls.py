"""Which call an idempotency key stands for, for all nodes, and over restarts."""

from __future__ import annotations

import json
from typing import Any

from gateway.control.once import Earlier
from gateway.errors import StoreLost
from gateway.store.keys import Keys
from gateway.store.link import Link

_LIFE = 86_400
"""Seconds that a placed call's key is known."""
_PLACING = 60
"""Seconds that a key stays taken by a node that died while it placed the call."""


class PlacedCalls:
    """Serves `KeyBook`. While Redis is away each node knows its own keys alone; that is counted."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link, self._keys = link, keys

    async def claim(self, name: str, order: str) -> Earlier | None:
        """See `KeyBook.claim`; waits one deadline at most."""
        key = self._keys.placed(name)

        async def take(client: Any) -> bytes | None:
            for _ in range(2):  # what stood there may end between the two
                if await client.set(key, _packed(order, ""), nx=True, ex=_PLACING):
                    return None
                if (found := await client.get(key)) is not None:
                    return bytes(found)
            return None

        try:
            found = await self._link.call(take)
        except StoreLost:
            self._link.dropped["idempotency_keys"] += 1
            return None
        return _unpacked(found) if found is not None else None

    async def keep(self, name: str, order: str, call_id: str) -> None:
        """See `KeyBook.keep`."""
        try:
            await self._link.call(
                lambda client: client.set(self._keys.placed(name), _packed(order, call_id), ex=_LIFE)
            )
        except StoreLost:
            self._link.dropped["idempotency_keys"] += 1

    async def drop(self, name: str) -> None:
        """See `KeyBook.drop`."""
        try:
            await self._link.call(lambda client: client.delete(self._keys.placed(name)))
        except StoreLost:
            self._link.dropped["idempotency_keys"] += 1


def _packed(order: str, call_id: str) -> bytes:
    return json.dumps({"order": order, "call": call_id}).encode()


def _unpacked(data: bytes) -> Earlier | None:
    """None for what none of us wrote."""
    try:
        told = json.loads(data)
        return Earlier(str(told["order"]), str(told["call"]))
    except (ValueError, KeyError, TypeError):
        return None
