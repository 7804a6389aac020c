"""Asks a caller, and listens for keys and words at once; his first key or word silences the question."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import structlog

from engines.base import EngineError
from gateway.actions.asking import Asking, Move
from gateway.actions.line import Line
from gateway.dialplan.actions_ask import Gather
from gateway.dialplan.answers import Heard
from media.clock import now
from media.frame import AudioFrame, Voice
from media.legs.base import DtmfReceived, LegEvent, LegHeld, LegResumed
from media.segmenter import SpeechEnded, SpeechStarted

log = structlog.get_logger(__name__)


async def gather(
    line: Line,
    ask: Gather,
    prompt: Callable[[], Awaitable[None]],
    hints: tuple[str, ...] = (),
    complete: Callable[[str], bool] = lambda keys: False,
    so_far: Callable[[str, str], None] | None = None,
) -> Heard | None:
    """Ask once, and return the answer, None for none.

    `prompt` speaks the question; it is cancelled when the caller answers. `complete`: see `Asking`.
    `so_far` is told what is being said: the words that stay, and those that may still change.

    Raises `CallerGone`, what `prompt` raises, and `EngineError` when speech alone could answer and cannot be
    heard.
    """
    return await _Gathering(line, ask, hints, complete, so_far).run(prompt)


class _Gathering:
    """One try. Serves `LegListener`."""

    def __init__(
        self,
        line: Line,
        ask: Gather,
        hints: tuple[str, ...],
        complete: Callable[[str], bool],
        so_far: Callable[[str, str], None] | None,
    ) -> None:
        rate = line.call.leg.sample_rate
        self._line = line
        self._ask = ask
        self._asking = Asking(ask, complete)
        self._so_far = so_far
        self._segmenter = line.ears.segmenter(rate)
        self._recognition = line.ears.recognition(rate, hints) if ask.hears_speech else None
        self._segment = 0
        self._open = False
        self._prompt: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._held_at = math.nan
        self._aside = False
        """Something that was ordered is being said."""
        self._over: asyncio.Future[Heard | None] = asyncio.get_running_loop().create_future()

    async def run(self, prompt: Callable[[], Awaitable[None]]) -> Heard | None:
        call, announcer = self._line.call, self._line.announcer
        loop = asyncio.get_running_loop()
        call.lend(self)
        self._prompt = loop.create_task(self._speak(prompt), name="question")
        listening = loop.create_task(self._transcribe(), name="transcribe")
        try:
            self._type_ahead()
            with announcer.besides(self._talked_over):
                return await announcer.until(self._over)
        finally:
            self._disarm()
            for task in (self._prompt, listening):
                task.cancel()
            await asyncio.gather(self._prompt, listening, return_exceptions=True)
            call.lend(announcer)

    # ------------------------------------------------------------------------------- what the caller does

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        if self._recognition is None or self._over.done():
            return
        for event in self._segmenter.push(frame, voice):
            match event:
                case SpeechStarted() if self._asking.wants_speech:
                    self._segment += 1
                    self._open = True
                    self._recognition.start(self._segment, self._segmenter.preroll())
                    self._follow(self._asking.voice_began(now()))
                case SpeechEnded(speech_end_at=at) if self._open:
                    self._end_segment(at)
        self._recognition.push(frame)

    def notice(self, event: LegEvent) -> None:
        match event:
            case DtmfReceived(digit=digit):
                self._key(digit)
                return
            case LegHeld():
                self._held_at = now()
                self._disarm()
            case LegResumed() if not math.isnan(self._held_at):
                self._asking.due += now() - self._held_at
                self._held_at = math.nan
                self._arm()
        self._line.announcer.notice(event)

    def _type_ahead(self) -> None:
        """Keys that came before the question count, but not what ended the answer to the last one."""
        ahead = self._line.call.keys_ahead
        keys = [event.digit for event in ahead]
        ahead.clear()
        while keys and keys[0] == self._ask.digits.terminator:
            keys.pop(0)
        for key in keys:
            self._key(key)

    def _key(self, digit: str) -> None:
        if self._over.done():  # the answer is complete: it may be the next question's
            self._line.call.keys_ahead.append(DtmfReceived(digit, now()))
            return
        move = self._asking.key(digit, now())
        if move is not Move.NOTHING and self._open and self._recognition is not None:
            self._open = False
            self._recognition.drop(self._segment)
        self._follow(move)

    # ------------------------------------------------------------------------------------ what follows

    def _follow(self, move: Move) -> None:
        if move is Move.CUT:
            self._end_segment(now())
        if move is not Move.NOTHING:
            self._hush()
        if move is Move.DONE and not self._over.done():
            self._over.set_result(self._asking.answer)
        self._arm()

    def _end_segment(self, at: float) -> None:
        assert self._recognition is not None
        self._open = False
        self._recognition.end()
        self._asking.voice_ended(self._segment, at)
        self._arm()

    def _hush(self) -> None:
        """Fall silent in this very step of the loop."""
        if self._prompt is not None and not self._prompt.done():
            self._prompt.cancel()
            self._line.announcer.hush()

    async def _speak(self, prompt: Callable[[], Awaitable[None]]) -> None:
        try:
            await prompt()
        except Exception as error:
            self._fail(error)
        else:
            self._asking.asked(now())
            self._arm()

    async def _transcribe(self) -> None:
        if self._recognition is None:
            return
        try:
            async with aclosing(self._recognition.results()) as transcripts:
                async for transcript in transcripts:
                    if transcript.is_final and not transcript.early:
                        move = self._asking.words(
                            transcript.segment, transcript.text, now(), transcript.confidence
                        )
                        self._follow(move)
                    elif self._so_far is not None and transcript.text:
                        stable = transcript.stable_chars
                        self._so_far(transcript.text[:stable], transcript.text[stable:])
        except EngineError as error:
            if not self._ask.hears_keys:
                self._fail(error)
                return
            log.warning("a question hears keys only", why=str(error))
            self._recognition = None
            self._asking.deaf(now())
            self._arm()

    def _fail(self, error: Exception) -> None:
        if not self._over.done():
            self._over.set_exception(error)

    # ------------------------------------------------------------------------------------------ its clock

    def _talked_over(self, on: bool) -> None:
        """Keys and words count meanwhile; silence does not, and counts anew from the end."""
        self._aside = on
        if not on:
            self._asking.wait_anew(now())
        self._arm()

    def _arm(self) -> None:
        self._disarm()
        paused = not math.isnan(self._held_at) or (self._aside and self._asking.waits)
        if self._asking.due < math.inf and not paused and not self._over.done():
            self._timer = asyncio.get_running_loop().call_at(self._asking.due, self._ring)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._follow(self._asking.timeout(now()))
