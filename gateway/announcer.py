"""Speaks texts and files into a leg before a conversation begins, or instead of one.

a route's action ── say, play ──┐
                                ├── turns, one after the other ──> utterance ──> the leg's playout
obey(SayNow, PlayNow) ──────────┘                 ▲
obey(ClearNow), hush() ───────────────────────────┘ silence it in this step of the loop
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from engines.base import EngineError, EngineTimeout, TtsOptions
from gateway.calls.call import Call
from gateway.calls.deadlines import paced
from gateway.calls.orders import MOST_WAITING, ClearNow, Order, OrderRefused, PlayNow, SayNow
from gateway.calls.speaking import SpeakingVoice
from gateway.prompts import sentences
from gateway.speaking_turns import SpeakingTurns
from media.frame import AudioFrame, Pcm, Voice
from media.legs.base import DtmfReceived, EndReason, LegClosed, LegEvent, PlayoutDrained
from media.wav import read_mono

T = TypeVar("T")

_SPARE = 3.0
"""Seconds beyond its length that an announcement may take to be heard out."""
_ROOM_WAIT = 0.1
_WENT_ON = "the call went on to something else before it was heard"


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


@dataclass(eq=False, slots=True)
class _Utterance:
    """What is being said."""

    task: asyncio.Task[None]
    ordered: bool
    """From outside; else the route says it."""
    cut: bool = False
    cleared: bool = False


class Announcer:
    """A leg's listener that says one thing at a time, and keeps the keys that are pressed meanwhile.

    What `say`, `phrase`, `play` and `sound` return is False when it was cleared by order: what belongs to it
    and was still to follow (the rest of a question, the next round of a loop) is not wanted either.
    """

    def __init__(self, call: Call, voice: SpeakingVoice) -> None:
        self._call = call
        self._leg = call.leg
        self._voice = voice
        self._turns = SpeakingTurns()
        self._now: _Utterance | None = None
        self._reply = 0
        self._written = 0
        self._drained = asyncio.Event()
        self._waiting = 0
        """What was ordered and is not over."""
        self._cleared = 0
        """Grows with each clear: what was ordered before is not said any more."""
        self._left = 0
        """Grows whenever the call goes on to something else."""
        self._aside = False
        self._told: Callable[[bool], None] = _nobody
        self._reason: EndReason | None = None
        self.ordered = asyncio.Event()
        """Somebody ended the call from outside; a caller who hangs up does not count."""
        self._ended_by: EndReason | None = None
        self._closed: asyncio.Future[EndReason | Order] = asyncio.get_running_loop().create_future()

    def of(self, call: Call) -> Announcer:
        """One that speaks with the same voice in another call."""
        return Announcer(call, self._voice)

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        """What the caller says now is not for us."""

    def stop(self, reason: EndReason) -> None:
        """Whatever is being said or awaited ends with `CallerGone`."""
        self._ended_by = self._ended_by or reason
        self.ordered.set()
        self._over(reason)

    def _over(self, reason: EndReason) -> None:
        self._reason = self._reason or reason
        if not self._closed.done():
            self._closed.set_result(reason)

    def gone(self, reason: EndReason) -> None:
        """Those whom the caller brought together have done: `reason` counts, though he hung up before.

        Unless somebody ended it from outside: then that is why.
        """
        self._reason = reason = self._ended_by or reason
        self._closed = asyncio.get_running_loop().create_future()
        self._closed.set_result(reason)

    def break_off(self, order: Order) -> None:
        """Whatever is being said or awaited ends with `BrokenOff`, until `go_on`."""
        self._left += 1
        if not self._closed.done():
            self._closed.set_result(order)

    def go_on(self) -> None:
        """The order that broke off is being followed."""
        self._closed = asyncio.get_running_loop().create_future()
        if self._reason is not None:
            self._closed.set_result(self._reason)

    def notice(self, event: LegEvent) -> None:
        match event:
            case PlayoutDrained(reply=reply) if reply == self._reply:
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

    # ---------------------------------------------------------------------------- what the route says

    async def say(self, text: str, *, language: str = "", voice: str = "") -> bool:
        """Speak a text to its end, in another language or voice if asked.

        Raises `CallerGone`, `EngineError`.
        """
        options = self._voice.options
        if language or voice:
            # Another language's voice is not the configured one.
            options = replace(options, language=language or options.language, voice=voice)
        return await self._in_turn(partial(self._text, text, options))

    async def phrase(self, text: str) -> bool:
        """Speak a phrase whole, as it lies in the cache. Raises `CallerGone`, `EngineError`."""
        return await self._in_turn(partial(self._speak, text, self._voice.options))

    async def play(self, path: Path) -> bool:
        """Play a WAV file to its end. Raises `CallerGone`; `OSError` and `ValueError` for an unfit file."""
        return await self._in_turn(partial(self._file, path))

    async def sound(self, pcm: Pcm) -> bool:
        """Play samples at the leg's rate to their end. Raises `CallerGone`."""
        return await self._in_turn(partial(self._write, pcm))

    def hush(self) -> None:
        """What the route says falls silent in this step of the loop; what was ordered is heard out."""
        if self._now is None or not self._now.ordered:
            self._leg.playout.clear()

    async def quiet(self) -> None:
        """Wait until nothing is being said and nothing that was ordered waits."""
        async with self._turns.turn():
            pass

    # ---------------------------------------------------------------------------- what is said by order

    async def obey(self, order: SayNow | PlayNow | ClearNow) -> None:
        """Say it after what sounds now, or instead; returns when it was heard, or cleared.

        Raises `OrderRefused`.
        """
        if isinstance(order, ClearNow):
            self._cleared += 1
            self._cut(cleared=True)
            return
        if not self._leg.sample_rate:
            raise OrderRefused("nothing can be heard before the call is up")
        if self._waiting >= MOST_WAITING:
            raise OrderRefused(f"{MOST_WAITING} texts wait already; clear them first")
        self._waiting += 1
        try:
            await self._ordered(order, self._cleared, self._left)
        except CallerGone:
            raise OrderRefused("the call ended before it was heard") from None
        except BrokenOff:
            raise OrderRefused(_WENT_ON) from None
        except (EngineError, OSError, ValueError) as error:
            raise OrderRefused(f"it could not be said: {error}") from error
        finally:
            self._waiting -= 1

    @contextmanager
    def besides(self, told: Callable[[bool], None]) -> Iterator[None]:
        """`told` learns when something ordered begins (True) and ceases to sound, while the context lasts."""
        self._told = told
        if self._aside:
            told(True)
        try:
            yield
        finally:
            self._told = _nobody

    async def _ordered(self, order: SayNow | PlayNow, cleared: int, left: int) -> None:
        if order.interrupt:
            self._cut(cleared=False)
        async with self._turns.turn(first=order.interrupt):
            if cleared != self._cleared:
                return
            if left != self._left:
                raise OrderRefused(_WENT_ON)
            speak = (
                partial(self._text, order.text, self._voice.options)
                if isinstance(order, SayNow)
                else partial(self._file, order.file)
            )
            self._aside = True
            self._told(True)
            try:
                await self._utter(speak, ordered=True)
            finally:
                self._aside = False
                self._told(False)

    def _cut(self, *, cleared: bool) -> None:
        """Silence what sounds, in this step of the loop."""
        if self._now is not None:
            self._now.cut, self._now.cleared = True, cleared
            self._now.task.cancel()
            self._leg.playout.clear()

    # ------------------------------------------------------------------------------------- what is awaited

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

    # ------------------------------------------------------------------------------------ how it is said

    async def _in_turn(self, speak: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        self.check()
        async with self._turns.turn():
            return await self._utter(speak, ordered=False)

    async def _utter(self, speak: Callable[[], Coroutine[Any, Any, None]], *, ordered: bool) -> bool:
        """To its end; False when it was cleared. Whoever cancels it leaves the leg silent."""
        self.check()
        self._call.replies += 1
        self._reply = self._call.replies
        self._written = 0
        self._drained.clear()
        task = asyncio.get_running_loop().create_task(self._heard_out(speak), name="speak")
        self._now = saying = _Utterance(task, ordered)
        try:
            closed = self._closed
            racers: set[asyncio.Future[Any]] = {task, closed}
            await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                _check(closed)
        finally:
            broken = not task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if broken:
                self._leg.playout.clear()
            self._now = None
        if not saying.cut:
            task.result()
        return not saying.cleared

    async def _text(self, text: str, options: TtsOptions) -> None:
        for sentence in sentences(text):
            await self._speak(sentence, options)

    async def _file(self, path: Path) -> None:
        await self._write(await asyncio.to_thread(read_mono, path, self._leg.sample_rate))

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
            written += self._leg.playout.write(pcm[written:], self._reply)
            if written < len(pcm):
                await asyncio.sleep(_ROOM_WAIT)
        self._written += written

    async def _heard_out(self, speak: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await speak()
        self._leg.playout.finish()
        if not self._written:
            return
        seconds = self._written / self._leg.sample_rate + _SPARE
        # A far end on hold drains nothing; the call goes on all the same.
        await _bounded(self._drained.wait(), seconds)


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


def _nobody(on: bool) -> None:
    """Nobody wants to know."""
