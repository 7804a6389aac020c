"""A service's own view of the licence: asks the proxy now and then, answers at once, from memory.

The proxy's last word is kept on disk, as it was signed: a service that starts while the proxy is away goes on
with it, within the grace period, by a clock that cannot be turned back.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import structlog

from license.cache import Cache
from license.entitlement import BadTerms
from license.grant import Grant, grant_key, read_grant
from license.keeper import Clocks
from license.outbox import Outbox
from license.standing import Licence, Standing, Step, TrustedTime
from license.usage import UsageEvent

log = structlog.get_logger(__name__)

_TOLERANCE = 300.0
"""Seconds by which the proxy's clock and ours may differ."""


class LicenceView(Protocol):
    """Whether new work may begin. Never touches work that runs, and never waits."""

    def forbids(self, kind: str) -> bool:
        """Whether nothing of that kind may begin at all, however little runs."""

    def refusal(self, kind: str, running: int, capacity: int) -> str:
        """Why one more may not begin beside those that run, or "". `kind`: `calls` or `streams`."""

    def used(self, event: UsageEvent) -> None:
        """Work ended."""


class FreeLicence:
    """Without a licence everything is allowed and nothing is reported."""

    def forbids(self, kind: str) -> bool:
        """See `LicenceView.forbids`."""
        return False

    def refusal(self, kind: str, running: int, capacity: int) -> str:
        """See `LicenceView.refusal`."""
        return ""

    def used(self, event: UsageEvent) -> None:
        """See `LicenceView.used`."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Whom a service asks, and what it believes."""

    address: str
    """The proxy's."""
    licence_key: str
    vendor_public: str
    folder: Path
    """Where the proxy's last word is kept."""
    seconds: float = 30.0
    """Between two questions."""


class LicenceClient:
    """Serves `LicenceView` from the proxy's grants; while it is away, its last word counts, within grace."""

    def __init__(
        self,
        settings: ClientSettings,
        clocks: Clocks,
        outbox: Outbox[Any],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Reads what an earlier run kept: blocks for the disk. `outbox`: where usage waits for the proxy."""
        self._client = httpx.AsyncClient(
            base_url=settings.address,
            headers={"Authorization": f"Bearer {settings.licence_key}"},
            timeout=5.0,
            transport=transport,
        )
        self._grant_key = grant_key(settings.licence_key)
        self._vendor_public = settings.vendor_public
        self._clocks = clocks
        self._seconds = settings.seconds
        self._outbox = outbox
        self._licence = Licence()
        self._cache = Cache(settings.folder, "grant", settings.licence_key, self._read)
        self._task: asyncio.Task[None] | None = None
        remembered = self._cache.load()
        if remembered.refused:
            log.error("a remembered licence is refused", why=remembered.refused)
        said = remembered.said
        self._time = TrustedTime(max(remembered.latest, said.at if said else 0.0))
        if said is not None:
            self._believe(said, fresh=False)

    def standing(self) -> Standing:
        """Where the licence stands now."""
        return self._licence.standing(self._now())

    def forbids(self, kind: str) -> bool:
        """See `LicenceView.forbids`."""
        return bool(self._forbidden(kind, self.standing()))

    def refusal(self, kind: str, running: int, capacity: int) -> str:
        """See `LicenceView.refusal`."""
        standing = self.standing()
        if told := self._forbidden(kind, standing):
            return told
        assert standing.terms is not None
        licensed = standing.terms.max_calls if kind == "calls" else standing.terms.max_streams
        places = standing.places(licensed, capacity)
        if running < places:
            return ""
        halved = f"; {standing.reason}" if standing.step is Step.HALF else ""
        return f"the licence allows {places} {kind} at once now{halved}"

    def used(self, event: UsageEvent) -> None:
        """See `LicenceView.used`."""
        self._outbox.note(event)

    async def start(self) -> None:
        """Ask once, then keep asking."""
        await self.ask()
        self._task = asyncio.get_running_loop().create_task(self._ask_on(), name="licence-client")

    async def aclose(self) -> None:
        """Stop; what is waiting is reported once more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.report()
        await self._keep("")
        await self._client.aclose()

    async def ask(self) -> bool:
        """Ask the proxy once; whether its grant counts."""
        try:
            reply = await self._client.get("/v1/grant")
            reply.raise_for_status()
            text = str(reply.json()["grant"])
            grant = self._read(text)
            if not self._now() - _TOLERANCE <= grant.until:
                raise BadTerms("the grant is out of date")
        except (httpx.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            self._licence.unreachable()
            log.warning("the licence proxy gave no grant", why=str(error) or type(error).__name__)
            await self._keep("")
            return False
        self._believe(grant, fresh=grant.connected)
        await self._keep(text if grant.answer is not None else "")
        return True

    async def report(self) -> None:
        """Hand what waits to the proxy; what it does not take waits on."""
        try:
            while (parcel := await self._outbox.take()) is not None:
                body = '{"events":[' + ",".join(event.line() for event in parcel.events) + "]}"
                reply = await self._client.post("/v1/usage", content=body)
                reply.raise_for_status()
                await self._outbox.settled(parcel)
        except (httpx.HTTPError, OSError) as error:
            log.info("usage waits for the licence proxy", why=str(error) or type(error).__name__)

    def _now(self) -> float:
        before = self._time.set_back
        found = self._time.now(self._clocks.wall(), self._clocks.steady())
        if self._time.set_back and not before:
            log.error("the clock was set back; licence times go on counting from where they were")
        return found

    def _forbidden(self, kind: str, standing: Standing) -> str:
        if standing.step is Step.NONE:
            return standing.reason
        assert standing.terms is not None
        granted = standing.terms.features
        return f"the licence does not cover {kind}" if granted and kind not in granted else ""

    def _read(self, text: str) -> Grant:
        return read_grant(text, self._grant_key, self._vendor_public)

    def _believe(self, grant: Grant, *, fresh: bool) -> None:
        self._licence.used(grant.used_seconds, grant.at)
        if grant.answer is not None:
            self._licence.answered(grant.answer, fresh=fresh)

    async def _keep(self, text: str) -> None:
        """The grant if there is one, and how late it is: for a start without the proxy."""
        try:
            if text:
                await asyncio.to_thread(self._cache.keep, text)
            await asyncio.to_thread(self._cache.keep_clock, self._now())
        except OSError as error:
            log.error("the licence cannot be remembered", why=error.strerror or str(error))

    async def _ask_on(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            await self.ask()
            await self.report()


def new_event_id(make: Callable[[], uuid.UUID] = uuid.uuid4) -> str:
    """An id for a usage event."""
    return make().hex
