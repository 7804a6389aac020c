"""What is ordered of a call's leg, whichever stage has it: keys, hold, and sending the far end elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.actions.referred import number_of
from gateway.calls.call import Call
from gateway.calls.call_events import HoldChanged, TransferChanged
from gateway.calls.orders import OrderRefused, TransferBlind
from gateway.control.dialer import TransferGuard
from gateway.errors import DialDenied, verdict
from media.clock import now
from media.legs.base import LegError, TransferProgress

KEY_PAUSE = 0.5
"""Seconds that a `w` among keys to send stands for."""

_TIMED_OUT = 408


class LegOrders:
    """Does them, one call's. Each returns when it is done, and raises `OrderRefused` when it cannot be."""

    def __init__(self, call: Call, guard: TransferGuard | None) -> None:
        """`guard`: whether a far end may be sent elsewhere; None: never."""
        self._call = call
        self._leg = call.leg
        self._guard = guard

    async def send_keys(self, digits: str) -> None:
        """Press keys; `w` waits half a second between them."""
        try:
            for number, keys in enumerate(digits.lower().split("w")):
                if number:
                    await asyncio.sleep(KEY_PAUSE)
                if keys:
                    await self._leg.send_dtmf(keys.upper())
        except LegError as error:
            raise OrderRefused(error.detail, sip_code=error.sip_code) from error

    async def hold(self, on: bool) -> None:
        """Put the far end on hold, or take it back."""
        try:
            await self._leg.hold(on)
        except LegError as error:
            raise OrderRefused(error.detail, sip_code=error.sip_code) from error
        self._call.happened(HoldChanged(now(), on=on, by_us=True))

    async def transfer(self, order: TransferBlind) -> None:
        """Send the far end elsewhere; when it will not go, the call is as it was."""

        async def send(progress: TransferProgress) -> None:
            await self._leg.transfer(order.target, deadline=order.deadline, progress=progress)

        await self._send_away("blind", order.target, order.target, send)

    async def transfer_to(self, other: Call, deadline: float) -> None:
        """Connect the far end with the other call's; when it will not go, both calls are as they were."""

        async def send(progress: TransferProgress) -> None:
            await self._leg.transfer_to(other.leg, deadline=deadline, progress=progress)

        await self._send_away("attended", number_of(other.leg), other.call_id, send)

    async def _send_away(
        self, kind: str, target: str, shown: str, send: Callable[[TransferProgress], Awaitable[None]]
    ) -> None:
        """Ask the rules about the target, then the far end."""

        def moved(state: str, code: int = 0) -> None:
            self._call.happened(TransferChanged(now(), kind, shown, state, code))

        def progress(code: int) -> None:
            if code < 300:  # a failure is told once, by the error
                moved(_state(code), code)

        moved("started")
        try:
            self._may_send(target)
            await send(progress)
        except LegError as error:
            moved("timed_out" if error.sip_code == _TIMED_OUT else "failed", error.sip_code)
            raise OrderRefused(error.detail, sip_code=error.sip_code) from error
        except DialDenied as denied:
            moved("failed", verdict(denied).sip_code)
            raise OrderRefused(str(denied)) from denied
        moved("done")

    def _may_send(self, target: str) -> None:
        """Raises `DialDenied` for whoever the rules do not let be called."""
        if self._guard is None:
            raise DialDenied("nobody may be sent elsewhere here", reason="transfer")
        self._guard.may_send(target, trunk=self._leg.parties.trunk)


def _state(code: int) -> str:
    """How a transfer stands, by what the far end last reported of it."""
    return "trying" if code == 100 else "ringing" if code < 200 else "answered"
