"""Sending the far end elsewhere: REFER on one side, what it reports on the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from media.legs.base import LegError, TransferProgress
from media.legs.sip_referral import Outcome, ReferAnswered, ReferNotified, Referral


class Transfer:
    """The transfers of one call, one at a time."""

    def __init__(self) -> None:
        self.gone = False
        """The far end went where it was sent; its call with us only has to be hung up."""
        self.agreed = False
        """Whether it agreed to the last one, and so may have left us for it."""
        self._referral: Referral | None = None
        self._outcome: asyncio.Future[Outcome] | None = None
        self._progress: TransferProgress = _ignore
        self._stale: set[int] = set()

    async def run(
        self, send: Callable[[], Awaitable[None]], *, deadline: float, progress: TransferProgress
    ) -> None:
        """Send a REFER and follow it to its end, `deadline` seconds at most. Raises `LegError`."""
        if self._referral is not None:
            raise LegError("the far end is being transferred already", sip_code=491)
        if self.gone:
            raise LegError("the far end was transferred already", sip_code=481)
        self._referral, self._progress = Referral(frozenset(self._stale)), progress
        self._outcome = asyncio.get_running_loop().create_future()
        try:
            await send()
            outcome = await self._until(deadline)
        finally:
            self.agreed = self._referral.accepted
            self._stale |= {self._referral.cseq} - {0}
            self._referral = self._outcome = None
        if not outcome.gone:
            raise LegError(outcome.detail, sip_code=outcome.sip_code)

    async def _until(self, deadline: float) -> Outcome:
        assert self._outcome is not None and self._referral is not None
        try:
            return await asyncio.wait_for(asyncio.shield(self._outcome), deadline)
        except TimeoutError:
            late = self._referral.timed_out()
            return late if late is not None else self._outcome.result()

    def answered(self, answer: ReferAnswered) -> None:
        """See `Referral.answered`."""
        if self._referral is not None:
            self._settle(self._referral.answered(answer))
        else:
            self._stale.add(answer.cseq)  # too late for its own transfer, and too early for the next

    def notified(self, news: ReferNotified) -> None:
        """See `Referral.notified`."""
        if self._referral is None:
            return
        known = len(self._referral.codes)
        outcome = self._referral.notified(news)
        for code in self._referral.codes[known:]:
            self._progress(code)
        self._settle(outcome)

    def closed(self, *, by_far_end: bool, code: int) -> bool:
        """The call is over; returns whether it ended because the far end has gone where it was sent."""
        if (referral := self._referral) is not None:
            self._settle(referral.hung_up() if by_far_end else referral.lost(code or 487))
        return self.gone

    def _settle(self, outcome: Outcome | None) -> None:
        if outcome is not None and self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(outcome)
            self.gone = outcome.gone  # now: its BYE may come before `run` goes on


def _ignore(code: int) -> None:
    """Nobody asks."""
