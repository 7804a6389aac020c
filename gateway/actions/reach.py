"""Brings a second telephone into a call: dials it while the caller waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.actions.line import Line, StepFailed
from gateway.announcer import BrokenOff, CallerGone
from gateway.calls.call_events import TransferChanged
from gateway.control.dialer import Dialer
from media.clock import now
from media.frame import Pcm
from media.legs.base import Leg, LegRinging
from media.tones import ringback
from media.wav import read_mono


async def dial(
    line: Line, dialer: Dialer, target: str, *, trunk: str, caller: str, seconds: float, music: Path | None
) -> Leg:
    """Call somebody while the caller hears it ring, or music; returns the answered leg.

    Raises `CallerGone`, and then nobody is called any more; `DialDenied`, `DialFailed`.
    """
    told = _Told(line, target)
    told("started")
    rate = line.call.leg.sample_rate
    sound = await asyncio.to_thread(read_mono, music, rate) if music else ringback(rate)

    def rings(event: LegRinging) -> None:
        told("ringing", event.sip_code)

    try:
        async with sounding(line, sound):
            dialled = dialer.dial(target, trunk=trunk, caller=caller, ring_seconds=seconds, on_ringing=rings)
            leg = await line.announcer.until(dialled)
    except Exception as error:
        told("failed", int(getattr(error, "sip_code", 0)))
        raise
    told("done")
    return leg


@asynccontextmanager
async def sounding(line: Line, sound: Pcm) -> AsyncIterator[None]:
    """The caller hears this again and again meanwhile."""
    waiting = asyncio.get_running_loop().create_task(_loop(line, sound), name="waiting-music")
    try:
        yield
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


class _Told:
    """Tells of a transfer by bridging."""

    def __init__(self, line: Line, target: str) -> None:
        self._line = line
        self._target = target

    def __call__(self, state: str, sip_code: int = 0) -> None:
        self._line.call.happened(TransferChanged(now(), "bridge", self._target, state, sip_code))


async def _loop(line: Line, sound: Pcm) -> None:
    try:
        while len(sound) and await line.announcer.sound(sound):
            pass
    except (CallerGone, BrokenOff):
        pass


def failure_word(sip_code: int) -> str:
    """What came of a call that nobody took, in one word for the variable `failure`."""
    words = {486: "busy", 600: "busy", 408: "no_answer", 480: "no_answer", 487: "no_answer", 403: "denied"}
    return words.get(sip_code, "rejected" if sip_code >= 600 else "failed")


def denied(detail: str) -> StepFailed:
    """What follows when a rule forbids it."""
    return StepFailed(detail, "denied")
