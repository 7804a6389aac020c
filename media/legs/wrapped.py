"""A leg, and a playout, around another one, for those that add something to it: everything is passed on."""

from __future__ import annotations

from media.frame import Pcm
from media.legs.base import Direction, EndReason, Leg, LegListener, Parties, Playout, TransferProgress


class WrappedLeg:
    """Implements `media.legs.base.Leg`."""

    def __init__(self, leg: Leg) -> None:
        self._leg = leg

    @property
    def leg_id(self) -> str:
        """The leg's own."""
        return self._leg.leg_id

    @property
    def direction(self) -> Direction:
        """The leg's own."""
        return self._leg.direction

    @property
    def parties(self) -> Parties:
        """The leg's own."""
        return self._leg.parties

    @property
    def sample_rate(self) -> int:
        """The leg's own."""
        return self._leg.sample_rate

    @property
    def playout(self) -> Playout:
        """The leg's own."""
        return self._leg.playout

    def attach(self, listener: LegListener) -> None:
        """See `Leg.attach`."""
        self._leg.attach(listener)

    async def ring(self, *, early_media: bool = False) -> None:
        """See `Leg.ring`."""
        await self._leg.ring(early_media=early_media)

    async def answer(self) -> None:
        """See `Leg.answer`."""
        await self._leg.answer()

    async def reject(self, sip_code: int, *, retry_after: int = 0, reason: str = "") -> None:
        """See `Leg.reject`."""
        await self._leg.reject(sip_code, retry_after=retry_after, reason=reason)

    async def send_dtmf(self, digits: str) -> None:
        """See `Leg.send_dtmf`."""
        await self._leg.send_dtmf(digits)

    async def hold(self, on: bool) -> None:
        """See `Leg.hold`."""
        await self._leg.hold(on)

    async def transfer(self, target: str, *, deadline: float, progress: TransferProgress) -> None:
        """See `Leg.transfer`."""
        await self._leg.transfer(target, deadline=deadline, progress=progress)

    async def transfer_to(self, other: Leg, *, deadline: float, progress: TransferProgress) -> None:
        """See `Leg.transfer_to`."""
        await self._leg.transfer_to(other, deadline=deadline, progress=progress)

    async def accept_transfer(self) -> None:
        """See `Leg.accept_transfer`."""
        await self._leg.accept_transfer()

    async def report_transfer(self, sip_code: int) -> None:
        """See `Leg.report_transfer`."""
        await self._leg.report_transfer(sip_code)

    async def refuse_transfer(self, sip_code: int = 603) -> None:
        """See `Leg.refuse_transfer`."""
        await self._leg.refuse_transfer(sip_code)

    def patch(self, other: Leg) -> bool:
        """See `Leg.patch`."""
        return self._leg.patch(other)

    def unpatch(self) -> None:
        """See `Leg.unpatch`."""
        self._leg.unpatch()

    async def hangup(self, reason: EndReason, *, cause: int = 0) -> None:
        """See `Leg.hangup`."""
        await self._leg.hangup(reason, cause=cause)

    def stats(self) -> dict[str, int | float | str]:
        """See `Leg.stats`."""
        return self._leg.stats()


class WrappedPlayout:
    """Implements `media.legs.base.Playout`."""

    def __init__(self, playout: Playout) -> None:
        self._playout = playout

    def write(self, pcm: Pcm, reply: int) -> int:
        """See `Playout.write`."""
        return self._playout.write(pcm, reply)

    def mark(self, mark: int) -> None:
        """See `Playout.mark`."""
        self._playout.mark(mark)

    def finish(self) -> None:
        """See `Playout.finish`."""
        self._playout.finish()

    def clear(self) -> int:
        """See `Playout.clear`."""
        return self._playout.clear()

    def position(self) -> int:
        """See `Playout.position`."""
        return self._playout.position()

    def duck(self, gain: float, ramp_ms: int = 20) -> None:
        """See `Playout.duck`."""
        self._playout.duck(gain, ramp_ms)
