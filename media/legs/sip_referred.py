"""The far end asks to be sent elsewhere (inbound REFER): the loop's side of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from media.legs.base import LegError
from media.legs.sip_call import SipCall

_DECIDE_S = 5.0
"""Time to decide; the far end's own transaction lives for 32 s (RFC 3261 timer F)."""
_DECLINE = 603
_PHRASES = {
    100: "Trying",
    180: "Ringing",
    183: "Session Progress",
    486: "Busy Here",
    487: "Request Terminated",
}


class Referred:
    """One request at a time: asked, then accepted or refused, then reported on."""

    def __init__(
        self,
        run: Callable[[Callable[[SipCall], None]], Awaitable[None]],
        post: Callable[[Callable[[SipCall], None]], None],
    ) -> None:
        """`run` does something on the call and raises `LegError`; `post` does not wait."""
        self._run = run
        self._post = post
        self._asked = False
        self._reporting = False
        self._timer: asyncio.TimerHandle | None = None

    def asked(self) -> None:
        """A REFER came; without a decision it is refused."""
        self._asked = True
        self._timer = asyncio.get_running_loop().call_later(_DECIDE_S, self._nobody_decided)

    async def accept(self) -> None:
        """202, and a first report. Raises `LegError` when nothing is asked."""
        if not self._take():
            raise LegError("nobody asks to be transferred", sip_code=481)
        await self._run(lambda call: call.answer_refer(202))
        self._reporting = True
        await self.report(100)

    async def report(self, sip_code: int) -> None:
        """One NOTIFY; a code from 200 up is the last. Raises `LegError` when nobody waits for reports."""
        if not 100 <= sip_code <= 699:
            raise LegError(f"{sip_code} is no SIP code", sip_code=400)
        if not self._reporting:
            raise LegError("nobody waits for reports of a transfer", sip_code=481)
        self._reporting = sip_code < 200
        await self._run(lambda call: call.report_refer(sip_code, phrase(sip_code)))

    async def refuse(self, sip_code: int) -> None:
        """A final refusal; nothing when nothing is asked."""
        if not 300 <= sip_code <= 699:
            raise LegError(f"{sip_code} is no refusal; use 300 to 699", sip_code=400)
        if self._take():
            await self._run(lambda call: call.answer_refer(sip_code))

    def close(self) -> None:
        """The call is over."""
        self._take()
        self._reporting = False

    def _nobody_decided(self) -> None:
        if self._take():
            self._post(lambda call: call.answer_refer(_DECLINE))

    def _take(self) -> bool:
        if self._timer is not None:
            self._timer.cancel()
        asked, self._asked = self._asked, False
        return asked


def phrase(sip_code: int) -> str:
    """A word for a code in a report; the code alone counts (RFC 3261 section 7.2)."""
    if sip_code in _PHRASES:
        return _PHRASES[sip_code]
    try:
        return HTTPStatus(sip_code).phrase
    except ValueError:
        return "Progress" if sip_code < 200 else "Failed"
