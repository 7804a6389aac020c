"""Our own offers within a call: hold and its end, one at a time, with glare waited out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from media.legs.base import LegError

GLARE = 491
"""Request Pending: both sides made an offer at once."""
_TRIES = 4
_ANSWER_S = 34.0
"""A re-INVITE's own transaction gives up after 32 s (RFC 3261 timer B); then PJSIP has told us so."""


def glare_wait(owns_call_id: bool, chance: float) -> float:
    """Seconds to wait after a 491, in steps of 10 ms; `chance` is 0 to 1 (RFC 3261 section 14.1)."""
    low, high = (2.1, 4.0) if owns_call_id else (0.0, 2.0)
    return round(low + (high - low) * chance, 2)


class Hold:
    """Whether we have the far end on hold."""

    def __init__(
        self,
        send: Callable[[bool], Awaitable[None]],
        *,
        owns_call_id: bool,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`send` makes the offer, on hold or not; its answer's code comes to `answered`.

        `send` raises a `LegError` with code 491 while PJSIP itself has an offer under way.
        """
        self.on = False
        self.glares = 0
        self._send = send
        self._owns_call_id = owns_call_id
        self._chance = chance
        self._one_at_a_time = asyncio.Lock()
        self._answer: asyncio.Future[int] | None = None
        self._over: LegError | None = None

    async def set(self, on: bool) -> None:
        """Put the far end on hold or take it back. Raises `LegError`; then nothing has changed."""
        async with self._one_at_a_time:
            if on != self.on:
                await self._offer(on)
                self.on = on

    async def repeat(self) -> None:
        """Offer again what is: a far end that holds us may come back with its answer."""
        async with self._one_at_a_time:
            await self._offer(self.on)

    def answered(self, code: int) -> None:
        """The far end's final answer to our offer."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(code)

    def close(self) -> None:
        """The call is over: whoever waits is told."""
        self._over = LegError("the call is over", sip_code=481)
        self.answered(481)

    async def _offer(self, on: bool) -> None:
        for _ in range(_TRIES):
            code = await self._ask(on)
            if code < 300:
                return
            if self._over is not None:
                raise self._over
            if code != GLARE:
                raise LegError(f"the far end refused the offer with {code}", sip_code=code)
            self.glares += 1
            await asyncio.sleep(glare_wait(self._owns_call_id, self._chance()))
        raise LegError("the far end made an offer of its own each time", sip_code=GLARE)

    async def _ask(self, on: bool) -> int:
        if self._over is not None:
            raise self._over
        self._answer = asyncio.get_running_loop().create_future()
        try:
            await self._send(on)
            return await asyncio.wait_for(self._answer, _ANSWER_S)
        except LegError as error:
            if error.sip_code == GLARE:
                return GLARE
            raise
        except TimeoutError:
            raise LegError("the far end did not answer the offer", sip_code=408) from None
        finally:
            self._answer = None
