"""Connects two calls with one another, until one of them leaves or is replaced by somebody else."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from gateway.actions.connected import awaited, connect
from gateway.actions.line import Line
from gateway.actions.parties import bridge_of, next_reply, party_of, whispered
from gateway.actions.referred import FAREWELL, Found, Transfer, refuse
from gateway.announcer import CallerGone
from gateway.calls.call_events import BridgeChanged
from media.clock import now
from media.legs.base import EndReason, Leg, TransferAsked
from media.legs.bridge import Bridge

_LATE = 5.0
"""Seconds that one call waits for the other to leave what it was doing."""


class Meeting:
    """Two running calls that are to be connected, once each has left what it was doing.

    Each call attends; one that does not come, or goes, lets the other go on.
    """

    def __init__(self, one: Line, other: Line) -> None:
        self._lines = (one, other)
        self._here = 0
        self._over = asyncio.Event()
        self._bridge: Bridge | None = None
        self._talking: asyncio.Task[None] | None = None
        self._transfer: Transfer | None = None

    async def attend(self, line: Line) -> None:
        """Be connected with the other call until one hangs up or is wanted elsewhere.

        If the other one's far end asks for a transfer, this call is connected with its target. Raises
        `CallerGone`, `BrokenOff`.
        """
        self._here += 1
        line.connection = self
        try:
            await self._meet(line)
            if (transfer := self._transfer) is not None and transfer.agreed:
                await self._go_on(line, transfer)
        finally:
            line.connection = None
            transfer = self._transfer
            if transfer is not None and transfer.asker is not line.call.leg:
                await transfer.drop()  # whoever it was for has left, or has been connected

    async def _meet(self, line: Line) -> None:
        try:
            if self._here == len(self._lines) and not self._over.is_set():
                self._talking = asyncio.get_running_loop().create_task(self._talk(), name="bridge")
            elif not self._over.is_set():
                asyncio.get_running_loop().call_later(_LATE, self._unmet)
            await line.announcer.until(self._over.wait())
            line.announcer.check()
        finally:
            self.part()
            if self._talking is not None:
                await asyncio.wait({self._talking})

    def part(self) -> None:
        """It is over, or will never be. Idempotent, returns at once."""
        if self._bridge is not None:
            self._bridge.stop()
        else:
            self._over.set()

    def asked(self, leg: Leg, asked: TransferAsked) -> None:
        """One of the two far ends asks us to call somebody in its place. Returns at once."""
        one, other = self._lines
        stays = other if leg is one.call.leg else one
        if self._transfer is not None:
            stays.spawn(refuse(leg))
            return
        calls = (one.call, other.call)
        self._transfer = Transfer(leg, asked, stays.transfers, calls, self._found, routable=True)

    def _found(self, found: Found | None) -> None:
        if found is None:
            self._transfer = None
        else:
            self.part()

    async def _go_on(self, line: Line, transfer: Transfer) -> None:
        """The call whose far end asked is over; the other one goes on with whoever was found."""
        if transfer.asker is not line.call.leg:
            target = await awaited(line, transfer)
            if target is not None:
                line.connection = None
                await connect(line, target)
        elif transfer.found_somebody:
            await line.announcer.wait(FAREWELL)
            raise CallerGone(EndReason.TRANSFERRED)

    def _unmet(self) -> None:
        if self._talking is None:
            self._over.set()

    async def _talk(self) -> None:
        one, other = self._lines
        replies = (next_reply(one), next_reply(other))
        self._bridge = bridge_of(party_of(one), party_of(other), replies)
        self._tell(on=True)
        try:
            with ExitStack() as whispers:
                for line in self._lines:
                    whispers.enter_context(line.announcer.besides(whispered(self._bridge, line)))
                await self._bridge.run()
        finally:
            for line in self._lines:
                line.announcer.hush()
                line.call.lend(line.announcer)
            self._tell(on=False)
            self._over.set()

    def _tell(self, *, on: bool) -> None:
        one, other = self._lines
        one.call.happened(BridgeChanged(now(), other.call.call_id, on=on))
        other.call.happened(BridgeChanged(now(), one.call.call_id, on=on))
