"""Speaks texts and files into a leg before a conversation begins, or instead of one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from engines.base import EngineTimeout, TtsOptions
from gateway.calls.call import Call
from gateway.calls.deadlines import paced
from gateway.calls.orders import Order
from gateway.calls.speaking import SpeakingVoice
from gateway.prompts import sentences
from media.frame import AudioFrame, Pcm, Voice
from media.legs.base import DtmfReceived, EndReason, LegClosed, LegEvent, PlayoutDrained
from media.wav import read_mono

T = TypeVar("T")

_SPARE = 3.0
"""Seconds beyond its length that an announcement may take to be heard out."""
_ROOM_WAIT = 0.1


class CallerGone(Exception):
    """The leg closed while we spoke, or was asked to; `reason` says why."""

    def __init__(self, reason: EndReason) -> None:
        super().__init__(reason)
        self.reason = reason


class BrokenOff(Exception):
    """Whatever was being done makes room for this order; the call is up."""

    def __init__(self, order: Order) -> None:
        super().__init__(type(order).__name__)
        self.order = order


class Announcer:
    """A leg's listener that says one thing at a time, and keeps the keys that are pressed meanwhile."""

    def __init__(self, call: Call, voice: SpeakingVoice) -> None:
        self._call = call
        self._leg = call.leg
        self._voice = voice
        self._written = 0
        self._drained = asyncio.Event()
        self._reason: EndReason | None = None
        self.ordered = asyncio.Event()
        """Somebody ended the call from outside; a caller who hangs up does not count."""
        self._closed: asyncio.Future[EndReason | Order] = asyncio.get_running_loop().create_future()

    def of(self, call: Call) -> Announcer:
        """One that speaks with the same voice in another call."""
        return Announcer(call, self._voice)

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        """What the caller says now is not for us."""

    def stop(self, reason: EndReason) -> None:
        """Whatever is being said or awaited ends with `CallerGone`."""
        self.ordered.set()
        self._over(reason)

    def _over(self, reason: EndReason) -> None:
        self._reason = self._reason or reason
        if not self._closed.done():
            self._closed.set_result(reason)

    def gone(self, reason: EndReason) -> None:
        """Whoever was brought together here has done; `reason` counts from now on, whatever came before."""
        self._reason = reason
        self._closed = asyncio.get_running_loop().create_future()
        self._closed.set_result(reason)

    def break_off(self, order: Order) -> None:
        """Whatever is being said or awaited ends with `BrokenOff`, until `go_on`."""
        if not self._closed.done():
            self._closed.set_result(order)

    def go_on(self) -> None:
        """The order that broke off is being followed."""
        self._closed = asyncio.get_running_loop().create_future()
        if self._reason is not None:
            self._closed.set_result(self._reason)

    def notice(self, event: LegEvent) -> None:
        match event:
            case PlayoutDrained(reply=reply) if reply == self._call.replies:
                self._drained.set()
            case DtmfReceived():
                self._call.keys_ahead.append(event)
            case LegClosed(reason=reason):
                self._over(reason)

    def check(self) -> None:
        """Raise `CallerGone` when nobody is left to speak to, `BrokenOff` when something else is next."""
        _check(self._closed)

    @property
    def ending(self) -> bool:
        """Whether the call ends."""
        return self._reason is not None

    @property
    def free(self) -> bool:
        """Whether the call neither ends nor makes room for something."""
        return not self._closed.done()

    async def say(self, text: str, *, language: str = "", voice: str = "") -> None:
        """Speak a text to its end, in another language or voice if asked.

        Raises `CallerGone`, `EngineError`.
        """
        options = self._voice.options
        if language or voice:
            # Another language's voice is not the configured one.
            options = replace(options, language=language or options.language, voice=voice)
        self._begin()
        for sentence in sentences(text):
            await self._speak(sentence, options)
        await self._heard_out()

    async def phrase(self, text: str) -> None:
        """Speak a phrase whole, as it lies in the cache. Raises `CallerGone`, `EngineError`."""
        self._begin()
        await self._speak(text, self._voice.options)
        await self._heard_out()

    async def play(self, path: Path) -> None:
        """Play a WAV file to its end. Raises `CallerGone`; `OSError` and `ValueError` for an unfit file."""
        await self.sound(await asyncio.to_thread(read_mono, path, self._leg.sample_rate))

    async def sound(self, pcm: Pcm) -> None:
        """Play samples at the leg's rate to their end. Raises `CallerGone`."""
        self._begin()
        await self._write(pcm)
        await self._heard_out()

    async def until(self, work: Awaitable[T]) -> T:
        """What comes of the work, which is cancelled when the call ends first, or makes room.

        Raises `CallerGone`, `BrokenOff`.
        """
        task, closed = asyncio.ensure_future(work), self._closed
        try:
            racers: set[asyncio.Future[Any]] = {task, closed}
            await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                _check(closed)  # not `self._closed`: whoever was broken off first may have gone on already
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def wait(self, seconds: float) -> None:
        """Let time pass. Raises `CallerGone`."""
        await self.until(asyncio.sleep(seconds))

    def _begin(self) -> None:
        self.check()
        self._call.replies += 1
        self._written = 0
        self._drained.clear()

    async def _speak(self, sentence: str, spoken: TtsOptions) -> None:
        rate = self._leg.sample_rate
        ahead = max(0, self._written - self._leg.playout.position()) / rate if self._written else 0.0
        options = replace(spoken, sample_rate=rate, ahead=ahead)
        limits = self._voice.deadlines
        sound = self._voice.tts.speak(sentence, options)
        try:
            async with aclosing(paced(sound, limits.tts_first, limits.tts_next)) as chunks:
                async for chunk in chunks:
                    await self._write(chunk.pcm)
        except TimeoutError:
            raise EngineTimeout(f"{self._voice.tts.name} gave no sound in time") from None

    async def _write(self, pcm: Pcm) -> None:
        written = 0
        while written < len(pcm):
            self.check()
            written += self._leg.playout.write(pcm[written:], self._call.replies)
            if written < len(pcm):
                await asyncio.sleep(_ROOM_WAIT)
        self._written += written

    async def _heard_out(self) -> None:
        self._leg.playout.finish()
        if not self._written:
            return
        seconds = self._written / self._leg.sample_rate + _SPARE
        # A far end on hold drains nothing; the call goes on all the same.
        await self.until(_bounded(self._drained.wait(), seconds))


def _check(closed: asyncio.Future[EndReason | Order]) -> None:
    if closed.done():
        why = closed.result()
        raise CallerGone(why) if isinstance(why, EndReason) else BrokenOff(why)


async def _bounded(work: Coroutine[Any, Any, bool | None], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        pass
