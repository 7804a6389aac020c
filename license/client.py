"""A service's own view of the licence: asks the proxy now and then, answers at once, from memory."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable
from typing import Protocol

import httpx
import structlog

from license.entitlement import Answer, BadTerms, Terms, read_answer
from license.keeper import GRANT, Clocks
from license.signature import derived_key, public_of, unseal
from license.standing import Licence, Standing, Step, TrustedTime
from license.usage import UsageEvent

log = structlog.get_logger(__name__)

_MOST_WAITING = 10_000
_MOST_SENT = 1000


class LicenceView(Protocol):
    """Whether new work may begin. Never touches work that runs, and never waits."""

    @property
    def expired(self) -> bool:
        """Nothing new may begin at all, however little runs."""

    def refusal(self, kind: str, running: int, capacity: int) -> str:
        """Why one more may not begin beside those that run, or "". `kind`: `calls` or `streams`."""

    def used(self, event: UsageEvent) -> None:
        """Work ended."""


class FreeLicence:
    """Without a licence everything is allowed and nothing is reported."""

    expired = False

    def refusal(self, kind: str, running: int, capacity: int) -> str:
        """See `LicenceView.refusal`."""
        return ""

    def used(self, event: UsageEvent) -> None:
        """See `LicenceView.used`."""


class LicenceClient:
    """Serves `LicenceView` from the proxy's grants; while it is away, its last word counts, within grace."""

    def __init__(
        self,
        address: str,
        licence_key: str,
        vendor_public: str,
        clocks: Clocks,
        *,
        seconds: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`seconds`: between two questions to the proxy."""
        self._client = httpx.AsyncClient(
            base_url=address,
            headers={"Authorization": f"Bearer {licence_key}"},
            timeout=5.0,
            transport=transport,
        )
        self._grant_public = public_of(derived_key(licence_key, "offhook licence grants"))
        self._vendor_public = vendor_public
        self._clocks = clocks
        self._seconds = seconds
        self._licence = Licence()
        self._time = TrustedTime()
        self._waiting: deque[UsageEvent] = deque()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0
        """Usage that the proxy could not be told."""

    def standing(self) -> Standing:
        """Where the licence stands now."""
        return self._licence.standing(self._time.now(self._clocks.wall(), self._clocks.steady()))

    @property
    def expired(self) -> bool:
        """See `LicenceView.expired`."""
        return self.standing().step is Step.NONE

    def refusal(self, kind: str, running: int, capacity: int) -> str:
        """See `LicenceView.refusal`."""
        standing = self.standing()
        if standing.step is Step.NONE:
            return standing.reason
        assert standing.terms is not None
        licensed = standing.terms.max_calls if kind == "calls" else standing.terms.max_streams
        places = standing.places(licensed, capacity)
        if running < places:
            return ""
        halved = f"; {standing.reason}" if standing.step is Step.HALF else ""
        return f"the licence allows {places} {kind} at once now{halved}"

    def used(self, event: UsageEvent) -> None:
        """See `LicenceView.used`. Bounded: beyond it the oldest go, counted."""
        if len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(event)

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
        await self._client.aclose()

    async def ask(self) -> bool:
        """Ask the proxy once; whether its grant counts."""
        try:
            reply = await self._client.get("/v1/grant")
            reply.raise_for_status()
            claims = unseal(GRANT, str(reply.json()["grant"]), self._grant_public)
            answer = self._answer(claims)
            now = self._time.now(self._clocks.wall(), self._clocks.steady())
            if not now - 300 <= float(claims["until"]):
                raise BadTerms("the grant is out of date")
        except (httpx.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            self._licence.unreachable()
            log.warning("the licence proxy gave no grant", why=str(error) or type(error).__name__)
            return False
        if answer is not None:
            self._licence.answered(answer, fresh=claims.get("connected") is True)
        return True

    async def report(self) -> None:
        """Hand what waits to the proxy; what it does not take waits on."""
        while self._waiting:
            events = [self._waiting[place] for place in range(min(len(self._waiting), _MOST_SENT))]
            body = '{"events":[' + ",".join(event.line() for event in events) + "]}"
            try:
                reply = await self._client.post("/v1/usage", content=body)
                reply.raise_for_status()
            except (httpx.HTTPError, OSError):
                return
            for _ in events:
                self._waiting.popleft()

    def _answer(self, claims: dict[str, object]) -> Answer | None:
        """The vendor's own words in the grant, checked; or a licence file's terms, as the proxy has them."""
        if text := claims.get("answer"):
            return read_answer(str(text), self._vendor_public)
        terms = claims.get("terms")
        if not isinstance(terms, dict):
            return None
        return Answer(Terms.read(terms), checked_at=float(str(claims["at"])))

    async def _ask_on(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            await self.ask()
            await self.report()


def new_event_id(make: Callable[[], uuid.UUID] = uuid.uuid4) -> str:
    """An id for a usage event."""
    return make().hex
