"""Keeps what a caller says: a WAV file, and its words where they are wanted."""

from __future__ import annotations

import asyncio
import math
import os
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import structlog

from engines.base import EngineError
from gateway.actions.line import Line
from gateway.announcer import BrokenOff, CallerGone
from media.frame import AudioFrame, Pcm, Voice
from media.legs.base import DtmfReceived, LegEvent
from media.segmenter import SpeechEnded, SpeechStarted
from media.tones import beep
from media.wav import write_wav

log = structlog.get_logger(__name__)

PAUSE_MS = 800
"""Quiet that cuts what is written down into sentences: longer than in conversations, nobody waits for it."""
LONGEST_SENTENCE = 20.0
"""Seconds after which a sentence is cut where nobody pauses: recognisers lose what is longer."""
WORDS_DUE = 10.0
"""Seconds after the end within which the last words must have come."""

Ending = Literal["key", "silence", "longest", "hangup"]


@dataclass(frozen=True, slots=True)
class Tape:
    """How to record."""

    path: Path
    max_seconds: float
    silence: float
    """Seconds of quiet that end it; 0 never does."""
    finish_keys: str = "#"
    """Keys of which each ends it."""
    beep: bool = True
    words: bool = False


@dataclass(frozen=True, slots=True)
class Recording:
    """What was recorded."""

    path: Path
    seconds: float
    ending: Ending
    spoke: bool
    """Whether there was any speech in it."""
    text: str = ""
    """Its words, "" unless asked for."""
    written_down: bool = False
    """Whether `text` is all that was said; False when it was not asked for, or the recogniser failed."""
    key: str = ""
    """The key that ended it."""


async def record(line: Line, tape: Tape) -> Recording:
    """Record until silence, a key, the limit or the end of the call; what was said so far is always kept.

    A call that ended meanwhile gives `ending="hangup"` and raises nothing; the next thing that is asked of it
    will. Raises `CallerGone` before the recording began, `OSError` when the disk does not take it.
    """
    line.announcer.check()
    if tape.beep:
        await line.announcer.sound(beep(line.call.leg.sample_rate, 0.3))
    taping = _Taping(line, tape)
    ending = await taping.run()
    text, whole = await taping.words()
    pcm, rate = taping.sound(), line.call.leg.sample_rate
    await asyncio.to_thread(_keep, tape.path, pcm, rate)
    return Recording(
        tape.path, len(pcm) / rate, ending, taping.spoke, text, written_down=whole, key=taping.key
    )


class _Taping:
    """Collects frames and words. Serves `LegListener`."""

    def __init__(self, line: Line, tape: Tape) -> None:
        rate = line.call.leg.sample_rate
        self._line = line
        self._tape = tape
        self._rate = rate
        self._frames: list[Pcm] = []
        self._samples = 0
        self._segmenter = line.ears.segmenter(rate, PAUSE_MS)
        self._recognition = line.ears.recognition(rate) if tape.words else None
        self._segment = 0
        self._open_since = math.nan
        self._quiet_since = 0.0
        self._spoken_until = 0.0
        self._aside = False
        """Something that was ordered is being said, to which the caller listens."""
        self._texts: dict[int, str] = {}
        self._lost = False
        self._all_words = asyncio.Event()
        self._transcribing: asyncio.Task[None] | None = None
        self._over: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self.spoke = False
        self.key = ""

    async def run(self) -> Ending:
        call, announcer = self._line.call, self._line.announcer
        loop = asyncio.get_running_loop()
        if self._recognition is not None:
            self._transcribing = loop.create_task(self._transcribe(), name="transcribe")
        # Frames drive the limits; this one covers for frames that do not come.
        guard = loop.call_later(self._tape.max_seconds + 1.0, self._finish, "longest")
        call.keys_ahead.clear()
        call.lend(self)
        try:
            with announcer.besides(self._talked_over):
                ending = await announcer.until(self._over)
        except (CallerGone, BrokenOff):
            ending = "hangup"
        finally:
            guard.cancel()
            call.lend(announcer)
        if not math.isnan(self._open_since):
            self._end_segment()
        return ending

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        if self._over.done() or frame.sample_rate != self._rate:
            return
        self._frames.append(frame.pcm)
        self._samples += len(frame.pcm)
        at = self._samples / self._rate
        for event in self._segmenter.push(frame, voice):
            match event:
                case SpeechStarted():
                    self.spoke, self._quiet_since = True, math.inf
                    self._start_segment(at)
                case SpeechEnded():
                    self._quiet_since = self._spoken_until = at - PAUSE_MS / 1000
                    self._end_segment()
        if self._recognition is not None:
            self._recognition.push(frame)
            if at - self._open_since > LONGEST_SENTENCE:
                self._end_segment()
                self._start_segment(at, preroll=False)
        if self._tape.silence and not self._aside and at - self._quiet_since >= self._tape.silence:
            self._finish("silence")
        if at >= self._tape.max_seconds:
            self._finish("longest")

    def _talked_over(self, on: bool) -> None:
        """What is said to the caller meanwhile is not on the tape, which holds him alone."""
        self._aside = on
        if not math.isinf(self._quiet_since):
            self._quiet_since = self._samples / self._rate

    def notice(self, event: LegEvent) -> None:
        if isinstance(event, DtmfReceived):
            if event.digit in self._tape.finish_keys:
                self.key = event.digit
                self._finish("key")
            return
        self._line.announcer.notice(event)

    def _finish(self, ending: Ending) -> None:
        if not self._over.done():
            self._over.set_result(ending)

    def sound(self) -> Pcm:
        """What was said, without the quiet that only showed that it was over."""
        pcm = np.concatenate(self._frames) if self._frames else np.zeros(0, np.int16)
        if self._over.done() and not self._over.cancelled() and self._over.result() == "silence":
            keep = (self._spoken_until + PAUSE_MS / 1000) * self._rate
            return pcm[: int(keep)] if self.spoke else pcm[:0]
        return pcm

    # ------------------------------------------------------------------------------------------ its words

    async def words(self) -> tuple[str, bool]:
        """The text, and whether it is all of it; waits for the last words, but not for ever."""
        if self._transcribing is None:
            return "", False
        self._look()
        try:
            async with asyncio.timeout(WORDS_DUE):
                await self._all_words.wait()
        except TimeoutError:
            self._lost = True
            log.warning("a recording's last words did not come")
        self._transcribing.cancel()
        await asyncio.gather(self._transcribing, return_exceptions=True)
        text = " ".join(self._texts[number] for number in sorted(self._texts) if self._texts[number])
        return text, not self._lost

    def _start_segment(self, at: float, *, preroll: bool = True) -> None:
        self._open_since = at
        if self._recognition is not None:
            self._segment += 1
            self._recognition.start(self._segment, self._segmenter.preroll() if preroll else [])

    def _end_segment(self) -> None:
        self._open_since = math.nan
        if self._recognition is not None:
            self._recognition.end()

    async def _transcribe(self) -> None:
        assert self._recognition is not None
        try:
            async with aclosing(self._recognition.results()) as transcripts:
                async for transcript in transcripts:
                    if transcript.is_final and not transcript.early:
                        self._texts[transcript.segment] = transcript.text.strip()
                        self._look()
        except EngineError as error:
            self._lost = True
            self._all_words.set()
            log.warning("a recording is not written down", why=str(error))

    def _look(self) -> None:
        """Whether nothing more is to come, once the recording is over."""
        ended = self._over.done() or self._line.call.closed is not None
        if ended and math.isnan(self._open_since) and len(self._texts) >= self._segment:
            self._all_words.set()


def _keep(path: Path, pcm: Pcm, rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_wav(path, pcm, rate)
    os.chmod(path, 0o600)
