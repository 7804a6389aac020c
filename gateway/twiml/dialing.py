"""`<Dial>`: whom a caller is connected with, of several that ring together or one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias

from gateway import twilio_ids
from gateway.control.dialer import LONGEST_RING, Dialer
from gateway.errors import DialDenied, DialFailed
from gateway.twiml.form import CallStatus
from gateway.twiml.host import DialProgress
from gateway.twiml.verbs import Dial, Number, Sip
from media.clock import now
from media.legs.base import EndReason, Leg, LegRinging

_BUSY = frozenset({486, 600, 603})
_NO_ANSWER = frozenset({408, 480, 487})
KEY_PAUSE = 0.5
"""Seconds that a `w` among keys to send stands for."""


def outcome(sip_code: int) -> CallStatus:
    """What Twilio calls a call that was not answered."""
    if sip_code in _BUSY:
        return CallStatus.BUSY
    return CallStatus.NO_ANSWER if sip_code in _NO_ANSWER else CallStatus.FAILED


@dataclass(slots=True)
class Attempt:
    """One target that is called."""

    target: Number | Sip
    call_sid: str
    status: CallStatus = CallStatus.FAILED
    sip_code: int = 0

    @property
    def address(self) -> str:
        """What is dialled; headers that a SIP address asks for are not sent."""
        target = self.target
        return target.number if isinstance(target, Number) else target.uri.partition("?")[0]


Whisper: TypeAlias = Callable[[Leg, Attempt, str], Awaitable[int]]
"""Lets who answered hear his document before he hears the caller, whose number is the last argument.

Returns how many reply numbers it used on his leg's playout. Raises `DialFailed` when nothing follows it.
"""


class Race:
    """Calls the targets of one `<Dial>`; the first who answers wins. Serves `Dialer`."""

    def __init__(
        self,
        dialer: Dialer,
        dial: Dial,
        call_id: str,
        first: int,
        told: Callable[[DialProgress], None],
        whisper: Whisper | None = None,
    ) -> None:
        """`first`: number of the first of these calls among all that the call dials."""
        self._dialer = dialer
        self._whisper = whisper
        self._dial = dial
        self._told = told
        self.attempts = [
            Attempt(target, twilio_ids.call_sid(f"{call_id}/dial/{first + number}"))
            for number, target in enumerate(dial.targets)
        ]
        self.winner: Attempt | None = None
        self.replies = 0
        """Numbers used on the playout of the winner's leg."""

    async def dial(
        self,
        target: str,
        *,
        trunk: str = "",
        caller: str = "",
        ring_seconds: float = 30.0,
        on_ringing: Callable[[LegRinging], None] | None = None,
    ) -> Leg:
        """See `Dialer.dial`; `target` is not looked at. When nobody answers, the last failure counts."""
        rings = min(max(ring_seconds, 1.0), LONGEST_RING)

        async def call(attempt: Attempt) -> Leg:
            return await self._call(attempt, trunk, caller, rings, on_ringing)

        leg = await (self._in_turn(call) if self._dial.sequential else self._together(call))
        if self._whisper is not None and self.winner is not None and self.winner.target.url:
            await self._whispered(self._whisper, leg, self.winner, caller)
        return leg

    async def _whispered(self, whisper: Whisper, leg: Leg, winner: Attempt, caller: str) -> None:
        """He hears his document first. Raises `DialFailed` when he is not to be connected with."""
        began = now()
        talks = False
        try:
            self.replies = await whisper(leg, winner, caller)
            talks = True
        finally:
            if not talks:
                await leg.hangup(EndReason.AGENT_HUNG_UP)
                self.ended(now() - began)

    async def _in_turn(self, call: Callable[[Attempt], Awaitable[Leg]]) -> Leg:
        failed: Exception = DialFailed("nobody was called", sip_code=480)
        for attempt in self.attempts:
            try:
                return await call(attempt)
            except (DialFailed, DialDenied) as error:
                failed = error
        raise failed

    async def _together(self, call: Callable[[Attempt], Coroutine[Any, Any, Leg]]) -> Leg:
        loop = asyncio.get_running_loop()
        ringing = {loop.create_task(call(one), name="dial") for one in self.attempts}
        left = set(ringing)
        failed: BaseException = DialFailed("nobody was called", sip_code=480)
        won: Leg | None = None
        try:
            while left and won is None:
                done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if (error := task.exception()) is not None:
                        failed = error
                    elif won is None:
                        won = task.result()
            if won is None:
                raise failed
            return won
        finally:
            for task in ringing:
                task.cancel()
            for answered in await asyncio.gather(*ringing, return_exceptions=True):
                if not isinstance(answered, BaseException) and answered is not won:
                    await answered.hangup(EndReason.CANCELLED)

    async def _call(
        self,
        attempt: Attempt,
        trunk: str,
        caller: str,
        rings: float,
        on_ringing: Callable[[LegRinging], None] | None,
    ) -> Leg:
        """Call one. Raises `DialDenied`, `DialFailed`."""

        def ringing(event: LegRinging) -> None:
            self._tell(attempt, "ringing", CallStatus.RINGING)
            if on_ringing is not None:
                on_ringing(event)

        self._tell(attempt, "initiated", CallStatus.INITIATED)
        try:
            leg = await self._dialer.dial(
                attempt.address, trunk=trunk, caller=caller, ring_seconds=rings, on_ringing=ringing
            )
        except DialFailed as error:
            self._over(attempt, outcome(error.sip_code), error.sip_code)
            raise
        except DialDenied:
            self._over(attempt, CallStatus.FAILED, 403)
            raise
        except asyncio.CancelledError:
            self._over(attempt, CallStatus.CANCELED, 487)
            raise
        if self.winner is None:
            self.winner = attempt
            attempt.status = CallStatus.IN_PROGRESS
            self._tell(attempt, "answered", CallStatus.IN_PROGRESS)
        return leg

    def ended(self, seconds: float) -> None:
        """The winner and the caller have done."""
        if self.winner is not None:
            self.winner.status = CallStatus.COMPLETED
            self._tell(self.winner, "completed", CallStatus.COMPLETED, seconds, 200)

    def _over(self, attempt: Attempt, status: CallStatus, sip_code: int) -> None:
        attempt.status, attempt.sip_code = status, sip_code
        self._tell(attempt, "completed", status, 0.0, sip_code)

    def _tell(
        self, attempt: Attempt, event: str, status: CallStatus, seconds: float = 0.0, sip_code: int = 0
    ) -> None:
        self._told(DialProgress(attempt.target, attempt.call_sid, event, status, seconds, sip_code))


async def press(leg: Leg, digits: str) -> None:
    """Press keys towards a far end; `w` waits half a second, `W` a whole one. Raises `LegError`."""
    for number, keys in enumerate(digits.replace("W", "ww").split("w")):
        if number:
            await asyncio.sleep(KEY_PAUSE)
        if keys:
            await leg.send_dtmf(keys.upper())
