"""Speaks texts and files into a leg before a conversation begins."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from engines.base import Tts, TtsOptions
from media.frame import AudioFrame, Pcm, Voice
from media.legs.base import EndReason, Leg, LegClosed, LegEvent, PlayoutDrained
from media.wav import read_mono

_SPARE = 3.0
"""Seconds beyond its length that an announcement may take to be heard out."""
_ROOM_WAIT = 0.1


class CallerGone(Exception):
    """The leg closed while we spoke; `reason` says why."""

    def __init__(self, reason: EndReason) -> None:
        super().__init__(reason)
        self.reason = reason


class Announcer:
    """A leg's listener that hears nothing but the end, and says one thing at a time."""

    def __init__(self, leg: Leg, tts: Tts, language: str) -> None:
        self._leg = leg
        self._tts = tts
        self._language = language
        self.replies = 0
        """Reply numbers used so far; whoever takes the leg over counts on from here."""
        self._drained = asyncio.Event()
        self._closed: asyncio.Future[EndReason] = asyncio.get_running_loop().create_future()

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        """What the caller says now is not for us."""

    def stop(self, reason: EndReason) -> None:
        """Whatever is being said or awaited ends with `CallerGone`."""
        if not self._closed.done():
            self._closed.set_result(reason)

    def notice(self, event: LegEvent) -> None:
        match event:
            case PlayoutDrained(reply=reply) if reply == self.replies:
                self._drained.set()
            case LegClosed(reason=reason):
                self.stop(reason)

    @property
    def closed(self) -> EndReason | None:
        """Why the leg is over; None while it is not."""
        return self._closed.result() if self._closed.done() else None

    async def say(self, text: str) -> None:
        """Speak a text to its end. Raises `CallerGone`, `EngineError`."""
        options = TtsOptions(sample_rate=self._leg.sample_rate, language=self._language)
        self._begin()
        length = 0
        async for chunk in self._tts.speak(text, options):
            await self._write(chunk.pcm)
            length += len(chunk.pcm)
        await self._heard_out(length)

    async def play(self, path: Path) -> None:
        """Play a WAV file to its end. Raises `CallerGone`; `OSError` and `ValueError` for an unfit file."""
        pcm = await asyncio.to_thread(read_mono, path, self._leg.sample_rate)
        self._begin()
        await self._write(pcm)
        await self._heard_out(len(pcm))

    async def wait(self, seconds: float) -> None:
        """Let time pass. Raises `CallerGone`."""
        await self._or_gone(asyncio.sleep(seconds))

    def _begin(self) -> None:
        self.replies += 1
        self._drained.clear()

    async def _write(self, pcm: Pcm) -> None:
        written = 0
        while written < len(pcm):
            if (reason := self.closed) is not None:
                raise CallerGone(reason)
            written += self._leg.playout.write(pcm[written:], self.replies)
            if written < len(pcm):
                await asyncio.sleep(_ROOM_WAIT)

    async def _heard_out(self, length: int) -> None:
        self._leg.playout.finish()
        if not length:
            return
        seconds = length / self._leg.sample_rate + _SPARE
        # A far end on hold drains nothing; the call goes on all the same.
        await self._or_gone(_bounded(self._drained.wait(), seconds))

    async def _or_gone(self, work: Coroutine[Any, Any, bool | None]) -> None:
        task = asyncio.ensure_future(work)
        try:
            racers: set[asyncio.Future[Any]] = {task, self._closed}
            await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
            if (reason := self.closed) is not None:
                raise CallerGone(reason)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _bounded(work: Coroutine[Any, Any, bool | None], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        pass
