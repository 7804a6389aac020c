"""One clock for all browsers: an absolute grid of 5 ms, on which every leg has a tick each 20 ms.

A leg hears on the tick after its packets use to come, so that they wait no longer than they must, and speaks
on the tick at which its sound began: after silence at once, and never all legs at the same moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from media.frame import FRAME_MS
from media.legs.webrtc_ear import Heard

log = structlog.get_logger(__name__)

PHASES = 4
STEP = FRAME_MS / 1000 / PHASES
"""Seconds of the grid."""
_STALL = 1.0
"""A clock this late does not catch up: the machine slept."""
_LOOK = 50
"""Ticks between two looks at a peer: 250 ms."""


class Spoken(Protocol):
    """The part of a peer that speaks."""

    @property
    def idle(self) -> bool: ...

    @property
    def waiting(self) -> bool: ...


class OnGrid(Protocol):
    """A peer, as the clock sees it."""

    connected: bool
    say_phase: int | None

    @property
    def mouth(self) -> Spoken: ...

    def hear(self, at: float) -> Heard | None: ...

    def say(self, at: float) -> None: ...

    def look(self, now: float) -> None: ...


class Grid:
    """Calls every peer at its ticks. Lives on the WebRTC thread's loop, real or virtual."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, deliver: Callable[[list[tuple[int, int, Heard]]], None]
    ) -> None:
        """`deliver` takes the frames of one tick: leg, index of the first sample, frame."""
        self.late = 0
        """Ticks more than one frame late."""
        self.skipped = 0
        self._loop = loop
        self._deliver = deliver
        self._peers: dict[int, OnGrid] = {}
        self._hear_phase: dict[int, int] = {}
        self._heard: dict[int, int] = {}
        self._began = 0.0
        self._ticks = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to tick."""
        self._began = self._loop.time()
        self._arm()

    def stop(self) -> None:
        """Tick no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def add(self, number: int, peer: OnGrid) -> None:
        """Serve this peer from now on."""
        self._peers[number] = peer

    def remove(self, number: int) -> None:
        """Forget it. Idempotent."""
        self._peers.pop(number, None)
        self._hear_phase.pop(number, None)
        self._heard.pop(number, None)

    def _arm(self) -> None:
        self._timer = self._loop.call_at(self._began + (self._ticks + 1) * STEP, self._tick)

    def _tick(self) -> None:
        now = self._loop.time()
        at = self._began + (self._ticks + 1) * STEP
        if now - at > _STALL:
            missed = int((now - at) / STEP)
            self.skipped += missed
            self._began += missed * STEP
            at += missed * STEP
        self.late += now - at > FRAME_MS / 1000
        self._ticks += 1
        self._serve(self._ticks % PHASES, at)
        self._arm()

    def _serve(self, phase: int, at: float) -> None:
        rows: list[tuple[int, int, Heard]] = []
        look = self._ticks % _LOOK
        for number, peer in list(self._peers.items()):
            try:
                if number % _LOOK == look:
                    peer.look(at)
                if not peer.connected:
                    continue
                self._say(peer, phase, at)
                self._hear(number, peer, phase, at, rows)
            except Exception as error:
                log.error("a browser's leg failed on a tick", leg=number, error=repr(error))
        self._deliver(rows)

    def _say(self, peer: OnGrid, phase: int, at: float) -> None:
        mouth = peer.mouth
        if peer.say_phase is None or (mouth.idle and mouth.waiting):
            peer.say_phase = phase
        if peer.say_phase == phase:
            peer.say(at)

    def _hear(
        self, number: int, peer: OnGrid, phase: int, at: float, rows: list[tuple[int, int, Heard]]
    ) -> None:
        if self._hear_phase.setdefault(number, phase) != phase:
            return
        heard = peer.hear(at)
        if heard is None:
            del self._hear_phase[number]  # the first packet chooses the tick
            return
        pts = self._heard.get(number, 0)
        self._heard[number] = pts + len(heard.pcm)
        rows.append((number, pts, heard))
