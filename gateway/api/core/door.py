"""Who is let in to the speech API, how often, and how many at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import structlog

from gateway.api.core.credentials import presented
from gateway.errors import Draining, GatewayError, KeyRefused, LicenceRefused, LimitReached, ScopeRefused
from gateway.keys.key import Key, Scope, split
from gateway.keys.keyring import Keyring
from gateway.keys.limits import KeyLimits
from license.client import FreeLicence, LicenceView

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 1
_DRAIN_RETRY = 5
"""Seconds after which another node, or this one after its start, may serve."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    key_id: str
    """"" where no key is needed."""
    name: str = ""
    at_once: int = 0
    scopes: frozenset[Scope] = frozenset(Scope)
    """What he may do beside what he was let in for."""


NOBODY = Caller("")
"""Asks without a key where none is needed."""


class Door:
    """Lets requests in: by key, by scope, by rate, by places."""

    def __init__(
        self,
        keyring: Keyring | None,
        limits: KeyLimits,
        wall: Callable[[], datetime],
        *,
        places: int,
        counted: Callable[[str], None] = lambda reason: None,
        licence: LicenceView | None = None,
    ) -> None:
        """`keyring`: None where no key is asked for. `counted` is told why somebody was turned away."""
        self._keyring = keyring
        self._limits = limits
        self._wall = wall
        self._places = places
        self._counted = counted
        self._licence: LicenceView = licence or FreeLicence()
        self._taken = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._lasting: set[asyncio.Timeout] = set()
        self.draining = False

    @property
    def asks(self) -> bool:
        """Whether a key is needed."""
        return self._keyring is not None

    @property
    def taken(self) -> int:
        """Requests and sockets inside."""
        return self._taken

    async def emptied(self, limit: float) -> None:
        """Wait until nobody is inside, but no longer than so many seconds."""
        try:
            async with asyncio.timeout(limit):
                await self._empty.wait()
        except TimeoutError:
            pass

    async def cut(self, limit: float) -> int:
        """End the sockets that are still inside, and wait for it; returns how many there were.

        Each is told in its own words; one that takes longer than `limit` seconds to be told is left.
        """
        late, self._lasting = self._lasting, set()
        for lasting in late:
            lasting.reschedule(asyncio.get_running_loop().time())
        if late:
            await self.emptied(limit)
        return len(late)

    @asynccontextmanager
    async def lasting(self) -> AsyncIterator[None]:
        """For a socket, which may last for ever: `Draining` is raised in the block that a drain cuts."""
        lasting = asyncio.timeout(None)
        try:
            async with lasting:
                self._lasting.add(lasting)
                yield
        except TimeoutError:
            if not lasting.expired():
                raise
            raise Draining("the node is shutting down", retry_after=_DRAIN_RETRY) from None
        finally:
            self._lasting.discard(lasting)

    async def admit(
        self,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        scope: Scope | None,
        *,
        while_draining: bool = False,
    ) -> Caller:
        """Who asks; without a scope any key is good. `while_draining`: for what begins no work.

        Raises `KeyRefused`, `ScopeRefused`, `LimitReached` or `Draining`.
        """
        if self.draining and not while_draining:
            raise self._turned_away(
                "draining", Draining("the node is shutting down", retry_after=_DRAIN_RETRY)
            )
        if self._keyring is None:
            return NOBODY
        key = self._known(presented(headers, query))
        if scope is not None and scope not in key.scopes:
            told = f"this key may not be used to {scope}; its scopes: {', '.join(sorted(key.scopes))}"
            raise self._turned_away("scope", ScopeRefused(told))
        if key.per_minute:
            wait = await self._limits.take(key.key_id, key.per_minute)
            if wait > 0:
                told = f"this key may begin {key.per_minute} requests a minute"
                raise self._turned_away("rate", LimitReached(told, retry_after=max(1, round(wait + 0.5))))
        return Caller(key.key_id, key.name, key.at_once, key.scopes)

    @asynccontextmanager
    async def place(self, caller: Caller) -> AsyncIterator[None]:
        """A place for the length of the block. Raises `LimitReached`, `LicenceRefused`."""
        if told := self._licence.refusal("streams", self._taken, self._places):
            for_good = self._licence.forbids("streams")
            error = LicenceRefused(told) if for_good else LimitReached(told, retry_after=_RETRY_SECONDS)
            raise self._turned_away("license", error)
        if self._taken >= self._places:
            told = f"all {self._places} places of this node are taken"
            raise self._turned_away("full", LimitReached(told, retry_after=_RETRY_SECONDS))
        # Before anything is waited for: who comes meanwhile must see that the place is taken.
        self._taken += 1
        self._empty.clear()
        held = ""
        try:
            if caller.at_once:
                held = await self._limits.enter(caller.key_id, caller.at_once)
                if not held:
                    told = f"this key may have {caller.at_once} requests at once"
                    raise self._turned_away("at_once", LimitReached(told, retry_after=_RETRY_SECONDS))
            yield
        finally:
            self._taken -= 1
            if not self._taken:
                self._empty.set()
            if held:
                await self._limits.leave(caller.key_id, held)

    def _known(self, text: str) -> Key:
        if not text:
            raise self._turned_away("no_key", KeyRefused("a key is needed: `Authorization: Token <key>`"))
        parts = split(text)
        key = self._keyring.keys().get(parts[0]) if parts and self._keyring else None
        if parts is None or key is None or not key.proves(parts[1]):
            raise self._turned_away("wrong_key", KeyRefused("this key is not known here"))
        if key.revoked is not None:
            raise self._turned_away("revoked", KeyRefused("this key was revoked"))
        if key.expires is not None and key.expires <= self._wall():
            raise self._turned_away("expired", KeyRefused("this key has expired"))
        return key

    def _turned_away(self, reason: str, error: GatewayError) -> GatewayError:
        self._counted(reason)
        log.info("turned away", reason=reason)
        return error
