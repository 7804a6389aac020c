"""The caller's telephone: a leg whose sound is known by name, so that a test can tell what was heard.

Its clock ticks every 20 ms while somebody speaks, and five times a second while nobody does: a call of a
minute takes milliseconds. What the gateway plays sounds for exactly its length.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from media.frame import AudioFrame, Pcm, Voice
from media.legs.base import (
    Direction,
    DtmfReceived,
    EndReason,
    Leg,
    LegAnswered,
    LegClosed,
    LegError,
    LegEvent,
    LegListener,
    Parties,
    PlayoutDrained,
    PlayoutStarted,
    TransferProgress,
)

RATE = 8000
TICK, REST = 0.02, 0.2
"""Seconds of a frame while somebody speaks, and while nobody does."""
_AFTER = 1.5
"""Seconds after speech in which frames stay short, so that its end is found where it is."""
WORD = 0.25
"""Seconds that the caller takes for a word."""


@dataclass(frozen=True, slots=True)
class Said:
    """A stretch of the caller's speech."""

    start: int
    """First sample of it on the line."""
    end: int
    words: str


class RehearsedPlayout:
    """What the caller hears. Serves `Playout`; `sounds` is told of each piece when it begins."""

    def __init__(self, post: Callable[[LegEvent], None], sounds: Callable[[Pcm], None]) -> None:
        self._post = post
        self._sounds = sounds
        self._loop = asyncio.get_running_loop()
        self._reply = self._barred = 0
        self._began = 0.0
        self._written = 0
        self._timers: list[asyncio.TimerHandle] = []
        self.until = 0.0
        """When the last of what was written will have been heard."""

    def write(self, pcm: Pcm, reply: int) -> int:
        if reply <= self._barred:
            return 0
        at = self._loop.time()
        if reply != self._reply:
            self._reply, self._began, self._written = reply, max(at, self.until), 0
            self._later(self._began, lambda: self._post(PlayoutStarted(reply, self._began)))
        start = max(at, self.until)
        self.until = start + len(pcm) / RATE
        self._written += len(pcm)
        self._later(start, lambda: self._sounds(pcm))
        return len(pcm)

    def mark(self, mark: int) -> None:
        """Nobody here waits for marks."""

    def finish(self) -> None:
        reply, written = self._reply, self._written
        if written:
            self._later(self.until, lambda: self._post(PlayoutDrained(reply, written, self._loop.time())))

    def clear(self) -> int:
        sent = self.position()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._barred = self._reply
        self.until = min(self.until, self._loop.time())
        return sent

    def position(self) -> int:
        heard = (min(self._loop.time(), self.until) - self._began) * RATE
        return min(self._written, max(0, round(heard)))

    def duck(self, gain: float, ramp_ms: int = 20) -> None:
        """Heard all the same."""

    def _later(self, at: float, work: Callable[[], None]) -> None:
        self._timers = [timer for timer in self._timers if timer.when() >= self._loop.time()]
        self._timers.append(self._loop.call_at(at, work))


class Telephone:
    """Serves `Leg`. `say`, `press` and `hang_up` are the caller's hands."""

    leg_id, direction, sample_rate = "rehearsal", Direction.INBOUND, RATE

    def __init__(
        self, parties: Parties, sounds: Callable[[Pcm], None], transfer: Callable[[str], int]
    ) -> None:
        """`transfer`: the far end's last SIP code when it is sent somewhere."""
        self.parties = parties
        self.playout = RehearsedPlayout(self._notice, sounds)
        self._transfer = transfer
        self._listener: LegListener | None = None
        self._pts = 0
        self._voiced_until = 0.0
        self._clock: asyncio.Task[None] | None = None
        self._stirred = asyncio.Event()
        self.answered = False
        self.closed = False
        self.refused = 0
        """SIP code with which the call was refused."""
        self.cause = 0
        self.said: list[Said] = []

    # -- the caller ---------------------------------------------------------------------------------------

    def say(self, words: str) -> float:
        """Speak; returns how many seconds that takes."""
        seconds = max(2, len(words.split())) * WORD
        start = self._pts + (0 if self._busy() else round(REST * RATE))
        self.said.append(Said(start, start + round(seconds * RATE), words))
        self._voiced_until = asyncio.get_running_loop().time() + seconds + REST
        self._stirred.set()
        return seconds + REST

    def press(self, digit: str) -> None:
        self._notice(DtmfReceived(digit, asyncio.get_running_loop().time()))

    def hang_up(self, reason: EndReason = EndReason.CALLER_HUNG_UP) -> None:
        """The far end ends it."""
        if not self.closed:
            self.closed = True
            if self._clock is not None:
                self._clock.cancel()
            self._notice(LegClosed(reason, asyncio.get_running_loop().time()))

    # -- the leg ------------------------------------------------------------------------------------------

    def attach(self, listener: LegListener) -> None:
        self._listener = listener

    async def ring(self, *, early_media: bool = False) -> None:
        if early_media:
            self._start()

    async def answer(self) -> None:
        if not self.answered:
            self.answered = True
            self._start()
            self._notice(LegAnswered(asyncio.get_running_loop().time(), RATE, "PCMU"))

    async def reject(self, sip_code: int, *, retry_after: int = 0, reason: str = "") -> None:
        self.refused = sip_code

    async def send_dtmf(self, digits: str) -> None:
        """The far end takes them."""

    async def hold(self, on: bool) -> None:
        """The far end agrees."""

    async def transfer(self, target: str, *, deadline: float, progress: TransferProgress) -> None:
        progress(100)
        await asyncio.sleep(1.0)
        code = self._transfer(target)
        progress(code)
        if code >= 300:
            raise LegError(f"the target answered {code}", sip_code=code)

    async def transfer_to(self, other: Leg, *, deadline: float, progress: TransferProgress) -> None:
        raise LegError("there is no other call to be connected with")

    async def accept_transfer(self) -> None:
        raise LegError("nothing was asked")

    async def report_transfer(self, sip_code: int) -> None:
        """Nobody listens."""

    async def refuse_transfer(self, sip_code: int = 603) -> None:
        """Nothing was asked."""

    def patch(self, other: Leg) -> bool:
        return True

    def unpatch(self) -> None:
        """Nothing was patched."""

    async def hangup(self, reason: EndReason, *, cause: int = 0) -> None:
        self.cause = cause
        self.hang_up(reason)

    def stats(self) -> dict[str, int | float | str]:
        return {}

    # -- its clock ----------------------------------------------------------------------------------------

    def _notice(self, event: LegEvent) -> None:
        if self._listener is not None:
            self._listener.notice(event)

    def _start(self) -> None:
        if self._clock is None:
            self._clock = asyncio.get_running_loop().create_task(self._run(), name="telephone")

    def _busy(self) -> bool:
        return asyncio.get_running_loop().time() < self._voiced_until + _AFTER

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.closed:
            seconds = TICK if self._busy() else REST
            await asyncio.sleep(seconds)
            count = round(seconds * RATE)
            middle = self._pts + count // 2
            voiced = any(said.start <= middle < said.end for said in self.said)
            pcm = np.full(count, 3000 if voiced else 0, np.int16)
            if self._listener is not None:
                frame = AudioFrame(pcm, RATE, self._pts, loop.time())
                self._listener.hear(frame, Voice(voiced, float(voiced)))
            self._pts += count
