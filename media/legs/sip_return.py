"""After a transfer that failed: does the far end come back? An exchange may have given it up meanwhile.

RFC 5589 section 5 has the call go on as before. Asterisk, though, takes its caller out of our call before it
tries the target; when that is busy it ends him, and tells us nothing more. So whoever was heard before, and
is not heard again, is offered the same session once more: Asterisk then hangs up, one who lost the dialog
says so (481), and one who only lost its media has it again. Who stays silent is hung up.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from media.legs.base import EndReason, LegError

log = structlog.get_logger(__name__)

_HEARD_LATELY_S = 10.0
"""One who was silent for longer before his transfer is not expected to be heard after it."""

_KNOWS_NOTHING = frozenset({408, 481})
"""Answers of one who has no such call any more (RFC 3261 section 12.2.1.2)."""


class Return:
    """One leg's. Fed with its frames; the offer is made at half of the time, the end comes at its end."""

    def __init__(
        self,
        seconds: float,
        offer: Callable[[], Coroutine[Any, Any, None]],
        give_up: Callable[[EndReason], None],
    ) -> None:
        """`seconds`: 0 waits for nobody."""
        self._seconds = seconds
        self._offer = offer
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._heard: float | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._offering: asyncio.Task[None] | None = None

    def heard(self) -> None:
        """A frame with a packet in it."""
        self._heard = self._loop.time()

    def expect(self) -> None:
        """The transfer has failed: whoever was heard lately should be heard again."""
        self.close()
        if self._seconds and self._silence < _HEARD_LATELY_S:
            self._timers = [
                self._loop.call_later(self._seconds / 2, self._ask),
                self._loop.call_later(self._seconds, self._judge),
            ]

    def close(self) -> None:
        """The call is over, or its far end may be silent now."""
        for timer in self._timers:
            timer.cancel()
        self._timers = []

    @property
    def _silence(self) -> float:
        """Seconds since the last packet. What was under way when the transfer failed is not its return."""
        return math.inf if self._heard is None else self._loop.time() - self._heard

    def _ask(self) -> None:
        if self._silence > self._seconds / 4:
            self._offering = self._loop.create_task(self._offered(), name="offer-again")

    def _judge(self) -> None:
        if self._silence > self._seconds / 2:
            log.warning("the far end was not heard again after a transfer that failed; the call ends")
            self._give_up(EndReason.MEDIA_LOST)

    async def _offered(self) -> None:
        try:
            await self._offer()
        except LegError as error:
            log.info("the far end did not come back", sip_code=error.sip_code, why=error.detail)
            if error.sip_code in _KNOWS_NOTHING:
                self.close()
                self._give_up(EndReason.SIGNALLING_LOST)
