"""A caller with a script: speaks in given spans, presses keys, holds, hangs up, and hears us."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from media.frame import AudioFrame, Voice
from media.legs.base import (
    Direction,
    EndReason,
    Leg,
    LegAnswered,
    LegClosed,
    LegError,
    LegEvent,
    LegListener,
    Parties,
    TransferProgress,
)
from tests.fakes.playout import RecordingPlayout

RATE, FRAME, TICK = 8000, 160, 0.02


class ScriptedCaller:
    """A leg at 8 kHz. `says`: spans of voice; `coughs`: spans that open the gate only; `does`: events.

    From `silent_after` on the leg gives no frame, from `vanishes_at` on only frames that nobody sent.
    """

    leg_id, direction, sample_rate = "scripted", Direction.INBOUND, RATE
    parties = Parties("100", "200")

    def __init__(
        self,
        says: Sequence[tuple[float, float]],
        coughs: Sequence[tuple[float, float]] = (),
        does: Sequence[tuple[float, LegEvent]] = (),
        silent_after: float = 1e9,
        vanishes_at: float = 1e9,
    ) -> None:
        self.says, self.coughs, self.does, self.silent_after = says, coughs, list(does), silent_after
        self.vanishes_at = vanishes_at
        self.playout = RecordingPlayout(lambda event: self.listener.notice(event))
        self.hung_up: list[EndReason] = []

    def attach(self, listener: LegListener) -> None:
        self.listener = listener

    async def ring(self, *, early_media: bool = False) -> None: ...

    async def answer(self) -> None:
        self.clock = asyncio.create_task(self._talk())
        self.listener.notice(LegAnswered(asyncio.get_running_loop().time(), RATE, "PCMU"))

    async def _talk(self) -> None:
        """Frame n arrives, whole, at (n + 1) ticks; then the packet of that tick leaves."""
        loop = asyncio.get_running_loop()
        began, pts = loop.time(), 0
        while not self.hung_up:
            await asyncio.sleep(began + pts / RATE + TICK - loop.time())
            at, middle = loop.time(), loop.time() - TICK / 2
            voiced = any(start <= middle < end for start, end in self.says)
            noisy = voiced or any(start <= middle < end for start, end in self.coughs)
            pcm = np.full(FRAME, 3000 if noisy else 0, np.int16)
            if at < self.silent_after:
                frame = AudioFrame(pcm, RATE, pts, at, dtx=at >= self.vanishes_at)
                self.listener.hear(frame, Voice(noisy, float(voiced)))
            self.playout.pull(at)
            while self.does and self.does[0][0] <= at:
                self.listener.notice(self.does.pop(0)[1])
            pts += FRAME

    async def reject(self, sip_code: int, *, retry_after: int = 0, reason: str = "") -> None: ...

    async def send_dtmf(self, digits: str) -> None: ...

    async def hold(self, on: bool) -> None: ...

    async def transfer(self, target: str, *, deadline: float, progress: TransferProgress) -> None:
        raise LegError("not in the script", sip_code=501)

    async def transfer_to(self, other: Leg, *, deadline: float, progress: TransferProgress) -> None:
        raise LegError("not in the script", sip_code=501)

    async def accept_transfer(self) -> None: ...

    async def report_transfer(self, sip_code: int) -> None: ...

    async def refuse_transfer(self, sip_code: int = 603) -> None: ...

    def patch(self, other: Leg) -> bool:
        return False

    def unpatch(self) -> None: ...

    async def hangup(self, reason: EndReason, *, cause: int = 0) -> None:
        self.hung_up.append(reason)
        self.clock.cancel()
        self.listener.notice(LegClosed(reason, asyncio.get_running_loop().time()))

    def stats(self) -> dict[str, int | float | str]:
        return {"packets": len(self.playout.heard)}
