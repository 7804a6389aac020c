"""Brings a second telephone into a call: dials it while the caller waits, and connects the two."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import structlog

from gateway.actions.line import Line, StepFailed
from gateway.announcer import BrokenOff, CallerGone
from gateway.calls.call_events import BridgeChanged, TransferChanged
from gateway.control.dialer import Dialer
from media.clock import now
from media.frame import AudioFrame, Pcm, Voice, samples
from media.legs.base import (
    DtmfReceived,
    EndReason,
    Leg,
    LegClosed,
    LegError,
    LegEvent,
    LegHeld,
    LegResumed,
    LegRinging,
)
from media.live_resample import LiveResampler
from media.tones import ringback
from media.wav import read_mono

log = structlog.get_logger(__name__)

_KEYS_WAITING = 32
_CUSHION = 0.04
"""Seconds of silence ahead of sound that Python carries, so that a late frame is no gap."""


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
    waiting = asyncio.get_running_loop().create_task(_loop(line, sound), name="waiting-music")

    def rings(event: LegRinging) -> None:
        told("ringing", event.sip_code)

    try:
        dialled = dialer.dial(target, trunk=trunk, caller=caller, ring_seconds=seconds, on_ringing=rings)
        leg = await line.announcer.until(dialled)
    except Exception as error:
        told("failed", int(getattr(error, "sip_code", 0)))
        raise
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        line.call.leg.playout.clear()
    told("done")
    return leg


async def connect(line: Line, other: Leg, *, ends_on: str = "") -> None:
    """Let the caller and the other leg speak until one of them hangs up; the other leg is over then.

    `ends_on`: a key of the caller's that sends the other leg away as well; "" for none. Raises `CallerGone`
    when it was the caller who hung up.
    """
    bridge = _Bridge(line, other, ends_on)
    line.call.happened(BridgeChanged(now(), other.leg_id, on=True))
    try:
        await bridge.run()
    finally:
        line.call.happened(BridgeChanged(now(), other.leg_id, on=False))


class _Told:
    """Tells of a transfer by bridging."""

    def __init__(self, line: Line, target: str) -> None:
        self._line = line
        self._target = target

    def __call__(self, state: str, sip_code: int = 0) -> None:
        self._line.call.happened(TransferChanged(now(), "bridge", self._target, state, sip_code))


async def _loop(line: Line, sound: Pcm) -> None:
    try:
        while len(sound):
            await line.announcer.sound(sound)
    except (CallerGone, BrokenOff):
        pass


class _Bridge:
    """Two legs, their sound patched natively where both can, else carried from frame to frame."""

    def __init__(self, line: Line, other: Leg, ends_on: str) -> None:
        self._line = line
        self._ends_on = ends_on
        self._near, self._far = line.call.leg, other
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.call.replies += 1
        limit = line.ears.settings.turns.guards.media_lost
        near_lost, far_lost = _Silence(limit, self._near_lost), _Silence(limit, self._end)
        self._from_caller = _Way(self._near, self._far, 1, self._from_near, near_lost, self._keyed)
        self._from_other = _Way(self._far, self._near, line.call.replies, self._from_far, far_lost)

    async def run(self) -> None:
        call, announcer = self._line.call, self._line.announcer
        patched = False
        try:
            call.lend(self._from_caller)
            self._far.attach(self._from_other)
            patched = self._near.patch(self._far)
            self._from_caller.carries = self._from_other.carries = not patched
            await announcer.until(self._ended)
        finally:
            if patched:
                self._near.unpatch()
            for way in (self._from_caller, self._from_other):
                way.close()
            self._near.playout.clear()
            call.lend(announcer)
            gone = call.closed is not None
            await self._far.hangup(EndReason.CALLER_HUNG_UP if gone else EndReason.AGENT_HUNG_UP)

    def _from_near(self, event: LegEvent) -> None:
        self._line.announcer.notice(event)

    def _keyed(self, key: str) -> bool:
        if key != self._ends_on:
            return False
        self._end()
        return True

    def _from_far(self, event: LegEvent) -> None:
        if isinstance(event, LegClosed):
            self._end()

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _near_lost(self) -> None:
        self._line.announcer.stop(EndReason.MEDIA_LOST)


class _Silence:
    """Notices that a leg's network sends nothing any more, while nobody holds: a dead end never hangs up."""

    def __init__(self, limit: float, lost: Callable[[], None]) -> None:
        self._limit = limit
        self._lost = lost
        self._since = math.nan
        self._held = False

    def hear(self, frame: AudioFrame) -> None:
        if not (frame.lost or frame.dtx) or self._held or math.isnan(self._since):
            self._since = frame.arrived
        elif frame.arrived - self._since > self._limit:
            self._lost()

    def notice(self, event: LegEvent) -> None:
        self._held = isinstance(event, LegHeld) or (self._held and not isinstance(event, LegResumed))


class _Way:
    """From one leg to the other. Serves `LegListener` of the first."""

    def __init__(
        self,
        source: Leg,
        sink: Leg,
        reply: int,
        others: Callable[[LegEvent], None],
        silence: _Silence,
        kept: Callable[[str], bool] = lambda key: False,
    ) -> None:
        """`kept`: whether a key means us, and is not passed on."""
        self._source = source
        self._sink = sink
        self._reply = reply
        self._others = others
        self._silence = silence
        self._kept = kept
        self._resampler: LiveResampler | None = None
        self._keys: asyncio.Queue[str] = asyncio.Queue(_KEYS_WAITING)
        self._pressing = asyncio.get_running_loop().create_task(self._press(), name="bridge-keys")
        self._begun = False
        self.carries = False

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        self._silence.hear(frame)
        if not self.carries:
            return
        pcm = frame.pcm
        if frame.sample_rate != self._sink.sample_rate:
            if self._resampler is None:
                self._resampler = LiveResampler(frame.sample_rate, self._sink.sample_rate)
            pcm = self._resampler.push(pcm)
        if not self._begun:
            self._begun = True
            cushion = np.zeros(samples(_CUSHION, self._sink.sample_rate), np.int16)
            self._sink.playout.write(cushion, self._reply)
        self._sink.playout.write(pcm, self._reply)

    def notice(self, event: LegEvent) -> None:
        self._silence.notice(event)
        if not isinstance(event, DtmfReceived):
            self._others(event)
        elif not self._kept(event.digit) and not self._keys.full():
            self._keys.put_nowait(event.digit)

    def close(self) -> None:
        self._pressing.cancel()

    async def _press(self) -> None:
        while True:
            key = await self._keys.get()
            try:
                await self._sink.send_dtmf(key)
            except LegError as error:
                log.info("a key was not passed on", why=error.detail)


def failure_word(sip_code: int) -> str:
    """What came of a call that nobody took, in one word for the variable `failure`."""
    words = {486: "busy", 600: "busy", 408: "no_answer", 480: "no_answer", 487: "no_answer", 403: "denied"}
    return words.get(sip_code, "rejected" if sip_code >= 600 else "failed")


def denied(detail: str) -> StepFailed:
    """What follows when a rule forbids it."""
    return StepFailed(detail, "denied")
