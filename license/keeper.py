"""Keeps a licence current: checks it on a schedule, remembers the last answer, delivers usage."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from license.cache import Cache
from license.entitlement import Answer, BadTerms, read_answer, read_licence
from license.grant import GRANT_SECONDS, Grant, grant_key, issue_grant
from license.journal import Journal
from license.settings import ProxySettings
from license.signature import BadSignature
from license.standing import Licence, Standing, State, TrustedTime, span
from license.tally import Tally
from license.upstream import Refused, Unreachable, Vendor
from license.usage import UsageEvent

log = structlog.get_logger(__name__)

_FIRST_RETRY = 5.0
_LOOK_SECONDS = 30.0
"""Between two looks at the clock, for warnings."""
_GROWTH = 2.0
_KNOWN = 20_000
"""Events of local services whose ids are remembered: one that is reported again counts once."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """Time, as arguments."""

    wall: Callable[[], float]
    """Seconds since 1970."""
    steady: Callable[[], float]
    """Seconds of a clock that nobody can set."""


class Keeper:
    """One licence and its journal. Belongs to one event loop."""

    def __init__(self, settings: ProxySettings, vendor: Vendor | None, clocks: Clocks) -> None:
        """`vendor`: None with a licence file. Raises `OSError`, `BadSignature`, `BadTerms`."""
        self._settings = settings
        self._vendor = vendor
        self._clocks = clocks
        public = settings.vendor_public
        self._cache = Cache(
            settings.folder, "answer", settings.licence_key, lambda text: read_answer(text, public)
        )
        self.journal = Journal(settings.folder / "usage")
        self._tally = Tally(settings.folder / "hours.jwt", settings.licence_key)
        self._known: OrderedDict[str, None] = OrderedDict()
        self._disk = asyncio.Lock()
        self._licence = Licence()
        self._answer_text = ""
        self._grant_key = grant_key(settings.licence_key)
        self._counts: Counter[str] = Counter()
        self._tasks: list[asyncio.Task[None]] = []
        self.last_check: float | None = None
        """When the vendor last answered; seconds since 1970."""
        remembered = self._cache.load()
        if remembered.refused:
            log.error("a remembered licence is refused", why=remembered.refused)
        if self._tally.refused:
            log.error("the hours used this month are not believed, and counted anew", file="hours.jwt")
        said = remembered.said
        self._time = TrustedTime(max(remembered.latest, said.checked_at if said else 0.0))
        if settings.licence_file is not None:
            self._read_file(settings.licence_file)
        elif said is not None:
            self._licence.answered(said, fresh=False)
            self._answer_text = remembered.text
            self.last_check = said.checked_at

    def now(self) -> float:
        """Seconds since 1970 that never go back."""
        before = self._time.set_back
        found = self._time.now(self._clocks.wall(), self._clocks.steady())
        if self._time.set_back and not before:
            log.error("the clock was set back; licence times go on counting from where they were")
        return found

    def standing(self) -> Standing:
        """Where the licence stands now."""
        now = self.now()
        self._licence.used(self._tally.used(now), now)
        return self._licence.standing(now)

    def hours(self) -> float:
        """Hours of sound that the site used in this calendar month (UTC)."""
        return self._tally.used(self.now()) / 3600

    def grant(self) -> str:
        """For local services, signed: what the vendor said, whether it can be reached, what was used."""
        now = self.now()
        # Not the standing: a site without hours left is still connected.
        connected = self._licence.trusted(now)
        grant = Grant(self._licence.answer, connected, self._tally.used(now), now, now + GRANT_SECONDS)
        return issue_grant(grant, self._answer_text, self._grant_key)

    def stats(self) -> dict[str, float]:
        """Counters since the start."""
        return {**self._counts, "usage_dropped": self.journal.dropped}

    async def used(self, events: Sequence[UsageEvent]) -> None:
        """Keep what local services report; when it returns, it is durable. Raises `OSError`."""
        async with self._disk:
            new = [event for event in events if event.event_id not in self._known]
            await asyncio.to_thread(self._keep_usage, new, self.now())
            self._known.update((event.event_id, None) for event in new)
        self._counts["usage_events"] += len(new)
        self._counts["usage_again"] += len(events) - len(new)
        while len(self._known) > _KNOWN:
            self._known.popitem(last=False)

    def _keep_usage(self, events: Sequence[UsageEvent], now: float) -> None:
        self.journal.append(events)
        self._tally.add(sum(event.seconds for event in events), now)

    async def start(self) -> None:
        """Check once, then keep checking."""
        if self._vendor is not None:
            await self.check()
        loop = asyncio.get_running_loop()
        self._tasks.append(loop.create_task(self._watch(), name="licence-watch"))
        if self._vendor is not None:
            self._tasks.append(loop.create_task(self._check_on(), name="licence-checks"))
            self._tasks.append(loop.create_task(self._report_on(), name="licence-usage"))

    async def aclose(self) -> None:
        """Stop. What was not delivered stays in the journal."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._vendor is not None:
            await self._vendor.aclose()
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._cache.keep_clock, self.now())
        self.journal.close()

    async def check(self) -> bool:
        """Ask the vendor once; whether the answer counts."""
        assert self._vendor is not None
        nonce = secrets.token_hex(16)
        try:
            text = await self._vendor.check(nonce)
            answer = read_answer(text, self._settings.vendor_public)
            if answer.nonce != nonce:
                raise BadTerms("the answer is not to our question")
        except (Unreachable, Refused, BadSignature, BadTerms) as error:
            self._counts["checks_failed"] += 1
            self._licence.unreachable()
            self._tell_failure(error)
            return False
        self._counts["checks"] += 1
        before = self.standing().state
        self._licence.answered(answer)
        self._answer_text = text
        self.last_check = self.now()
        if before is not State.CONNECTED or answer.revoked:
            self._tell_answer(answer)
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._cache.keep, text)
            await asyncio.to_thread(self._cache.keep_clock, self.now())
        return True

    async def report(self) -> bool:
        """Deliver one batch; whether something was delivered. Raises `Unreachable`, `Refused`."""
        assert self._vendor is not None
        async with self._disk:
            batch = await asyncio.to_thread(self.journal.next_batch)
        if batch is None:
            return False
        await self._vendor.report(batch.batch_id, batch.events)
        async with self._disk:
            await asyncio.to_thread(self.journal.delivered, batch)
        self._counts["usage_delivered"] += len(batch.events)
        log.info("Usage reported successfully", events=len(batch.events))
        return True

    def _read_file(self, path: Path) -> None:
        terms = read_licence(path.read_text(encoding="utf-8"), self._settings.vendor_public)
        # Without a way out there is no vendor to lose: the licence's own end is the only one.
        self._licence.answered(Answer(terms, checked_at=0.0))

    async def _check_on(self) -> None:
        retry = _FIRST_RETRY
        while True:
            good = self.standing().state is State.CONNECTED
            retry = _FIRST_RETRY if good else min(retry * _GROWTH, self._settings.check_seconds)
            wait = self._settings.check_seconds if good else min(retry, self._settings.check_seconds)
            await asyncio.sleep(wait * (0.9 + 0.2 * random.random()))
            await self.check()

    async def _report_on(self) -> None:
        wait = self._settings.report_seconds
        while True:
            await asyncio.sleep(wait * (0.9 + 0.2 * random.random()))
            try:
                while await self.report():
                    pass
                wait = self._settings.report_seconds
            except (Unreachable, Refused, OSError) as error:
                self._counts["reports_failed"] += 1
                wait = min(wait * _GROWTH, 3600.0)
                log.warning("usage could not be delivered", why=str(error), again_in=span(wait))

    async def _watch(self) -> None:
        while True:
            if told := self._licence.warning(self.now()):
                log.warning("licence", told=told, state=self.standing().state.value)
            await asyncio.sleep(_LOOK_SECONDS)

    def _tell_answer(self, answer: Answer) -> None:
        standing = self.standing()
        if standing.state is State.CONNECTED:
            log.info("License validated successfully", ends_in=span(answer.terms.expires - self.now()))
        else:
            log.error("the licence is not valid", why=standing.reason)

    def _tell_failure(self, error: Exception) -> None:
        standing = self.standing()
        if isinstance(error, Refused):
            log.error("License validation failed", why=str(error))
        elif standing.state is State.GRACE:
            log.warning("Connection to license server failed, using cached validation", why=str(error))
        else:
            log.error("the licence cannot be validated", why=str(error), state=standing.state.value)
