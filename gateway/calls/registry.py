"""The running calls of this node: admission, lookup, drain."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.calls.orders import CallHandle
from media.legs.base import EndReason


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """How many calls this node takes."""

    max_calls: int = 300
    """Calls at once, 1 to 1,900; the next one is answered 503, so that the running ones stay whole."""
    retry_after: int = 10
    """Seconds, 0 to 3,600, after which a refused caller may try again (RFC 3261 §20.33)."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_calls <= 1900:
            raise ValueError("max_calls must lie between 1 and 1900; more callers need more nodes")
        if not 0 <= self.retry_after <= 3600:
            raise ValueError("retry_after must lie between 0 and 3600 seconds")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call is not taken, in the words of SIP."""

    sip_code: int
    retry_after: int
    reason: str
    """`full` or `draining`: the label under which it is counted."""


class CallRegistry:
    """Every call of this node, from admission to its end."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._admitted: set[str] = set()
        self._calls: dict[str, CallHandle] = {}
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()
        self.refused: Counter[str] = Counter()
        """Refusals by reason."""

    def __len__(self) -> int:
        """Calls that hold a place, running or about to."""
        return len(self._admitted)

    def __iter__(self) -> Iterator[CallHandle]:
        """The running calls, as they are now."""
        return iter(tuple(self._calls.values()))

    @property
    def draining(self) -> bool:
        return self._draining

    def admit(self, call_id: str) -> Refusal | None:
        """Take a place for a new call, or say why not. A place is given back by `remove`."""
        reason = "draining" if self._draining else "full" if self._full else ""
        if reason:
            self.refused[reason] += 1
            return Refusal(503, self._settings.retry_after, reason)
        self._admitted.add(call_id)
        self._empty.clear()
        return None

    def add(self, call: CallHandle) -> None:
        """The admitted call runs. Raises `KeyError` for one that was not admitted."""
        if call.call_id not in self._admitted:
            raise KeyError(f"call {call.call_id} was not admitted")
        self._calls[call.call_id] = call

    def get(self, call_id: str) -> CallHandle | None:
        """The running call of this id."""
        return self._calls.get(call_id)

    def remove(self, call_id: str) -> None:
        """The call is over, or never ran: its place is free. Idempotent."""
        self._calls.pop(call_id, None)
        self._admitted.discard(call_id)
        if not self._admitted:
            self._empty.set()

    async def drain(self, limit: float) -> int:
        """Take no new calls, wait for the running ones up to `limit` seconds; returns how many were cut."""
        self._draining = True
        try:
            async with asyncio.timeout(limit):
                await self._empty.wait()
        except TimeoutError:
            pass
        late = list(self)
        for call in late:
            call.hang_up(EndReason.DRAINED)
        return len(late)

    @property
    def _full(self) -> bool:
        return len(self._admitted) >= self._settings.max_calls
