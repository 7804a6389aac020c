"""One call for one idempotency key, however often it is asked for, by whichever node, over restarts."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gateway.errors import LimitReached, RequestUnfit

_REMEMBERED = 10_000
"""Keys that this process knows, the oldest forgotten first."""
_PLACING_WAIT = 2
"""Seconds after which somebody may ask again whose call another node is placing."""


class Earlier(NamedTuple):
    """What a key stands for already."""

    order: str
    """Fingerprint of what was asked."""
    call_id: str
    """"" while the call is being placed."""


class KeyBook(Protocol):
    """Where all nodes keep keys; `gateway.store.placed_calls.PlacedCalls` is one. Never raises."""

    async def claim(self, name: str, order: str) -> Earlier | None:
        """Take a key; None: it is ours now, or nobody knows."""

    async def keep(self, name: str, order: str, call_id: str) -> None:
        """The call of a key that is ours was placed."""

    async def drop(self, name: str) -> None:
        """It was not: the key is free again."""


@dataclass(slots=True)
class _Known:
    order: str
    call_id: asyncio.Future[str]


class Once:
    """Belongs to one event loop."""

    def __init__(self, book: KeyBook | None = None) -> None:
        """`book`: None keeps keys in this process alone."""
        self._book = book
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def place(self, owner: str, key: str, order: str, place: Callable[[], Awaitable[str]]) -> str:
        """The id of the call that this key of this owner stands for; placed now if there is none.

        `order`: a fingerprint of what is asked. Raises what `place` raises, which frees the key;
        `RequestUnfit` for a key that stands for another call, `LimitReached` while another node places it.
        """
        name = hashlib.sha256(f"{len(owner)} {owner} {key}".encode()).hexdigest()
        known = self._known.get(name)
        if known is not None:
            _same(known.order, order)
            return await asyncio.shield(known.call_id)
        known = _Known(order, asyncio.get_running_loop().create_future())
        self._known[name] = known
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        try:
            call_id = await self._placed(name, order, place)
        except BaseException as error:
            self._known.pop(name, None)
            told = error if isinstance(error, Exception) else RuntimeError("given up")
            known.call_id.set_exception(told)
            known.call_id.exception()
            raise
        known.call_id.set_result(call_id)
        return call_id

    async def _placed(self, name: str, order: str, place: Callable[[], Awaitable[str]]) -> str:
        if self._book is None:
            return await place()
        if (earlier := await self._book.claim(name, order)) is not None:
            _same(earlier.order, order)
            if not earlier.call_id:
                raise LimitReached("the call of this key is being placed", retry_after=_PLACING_WAIT)
            return earlier.call_id
        try:
            call_id = await place()
        except BaseException:
            # Nothing was placed: the next try with this key may succeed.
            await self._book.drop(name)
            raise
        await self._book.keep(name, order, call_id)
        return call_id


def _same(known: str, order: str) -> None:
    if known != order:
        raise RequestUnfit("was used for another call", field="idempotency_key")
