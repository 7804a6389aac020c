"""Which call tokens were used, known to all nodes of one Redis."""

from __future__ import annotations

import uuid

from gateway.store.limits import Limits


class SharedTokenUse:
    """A `gateway.api.webrtc.tokens.TokenUse`; without Redis each node knows what it took itself."""

    def __init__(self, limits: Limits, seconds: float) -> None:
        """`seconds`: the longest that a token can be good."""
        self._limits, self._seconds = limits, seconds
        self._node = uuid.uuid4().hex

    async def take(self, token_id: str) -> bool:
        """See `TokenUse.take`."""
        return await self._limits.enter(f"token-{token_id}", self._node, 1, self._seconds)

    async def give_back(self, token_id: str) -> None:
        """See `TokenUse.give_back`."""
        await self._limits.leave(f"token-{token_id}", self._node)
