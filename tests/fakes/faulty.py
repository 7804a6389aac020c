"""Engines that can be broken while they are used: deaf, dead, slow, full, and well again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np

from engines.base import (
    AsrOptions,
    EngineBusy,
    EngineFailed,
    EngineRefused,
    Residency,
    SpeechChunk,
    Transcript,
    TtsOptions,
    Word,
)
from media.frame import AudioFrame

WORD = 0.2
"""Seconds of one spoken word."""


class _Faulty:
    """`mode`: ok, dead (breaks, and takes nothing), deaf (takes all and says nothing), full, unable."""

    def __init__(self, name: str, takes: float = 0.05) -> None:
        self.name, self.takes, self.mode = name, takes, "ok"
        self.limits: list[Residency] = []
        """What each request allowed."""
        self.closed = False

    def admit(self, limit: Residency) -> None:
        self.limits.append(limit)
        match self.mode:
            case "dead":
                raise EngineFailed("scripted: dead")
            case "full":
                raise EngineBusy("scripted: full")
            case "unable":
                raise EngineRefused("scripted: unable")

    async def warm_up(self) -> None:
        if self.mode == "dead":
            raise EngineFailed("scripted: dead")

    async def aclose(self) -> None:
        self.closed = True


class FaultyAsr(_Faulty):
    """Hears words at media times: those whose middle lies in the sound of a segment."""

    def __init__(
        self, name: str, says: Sequence[tuple[float, str]] = (), takes: float = 0.05, plain: bool = False
    ) -> None:
        """`says`: (middle of the word, word). `plain`: it gives finals and nothing else."""
        super().__init__(name, takes)
        self.plain = plain
        self.says = says
        self.streams: list[FaultyStream] = []
        self.heard = 0
        """Frames."""

    def stream(self, options: AsrOptions) -> FaultyStream:
        self.admit(options.data)
        self.streams.append(FaultyStream(self, options))
        return self.streams[-1]

    def set(self, mode: str) -> None:
        """From now on; what is under way feels it too."""
        self.mode = mode
        if mode == "dead":
            for stream in self.streams:
                stream.due.put_nowait(None)


class FaultyStream:
    def __init__(self, asr: FaultyAsr, options: AsrOptions) -> None:
        self.asr, self.options = asr, options
        self.segment, self.frames = 0, list[AudioFrame]()
        self.due: asyncio.Queue[Transcript | None] = asyncio.Queue()
        self.early: asyncio.TimerHandle | None = None
        self.shown = ""
        self.closed = False

    def start(self, segment: int) -> None:
        self.segment, self.frames, self.shown = segment, [], ""

    def push(self, frame: AudioFrame) -> None:
        self.frames.append(frame)
        self.asr.heard += 1
        if self.options.interim and not self.asr.plain and (text := self.text()) != self.shown:
            self.shown = text
            self._give(Transcript(self.segment, text, False, stable_chars=len(text)))

    def text(self) -> str:
        if not self.frames:
            return ""
        first, last = self.frames[0].media_time, self.frames[-1].media_time
        return " ".join(word for at, word in self.asr.says if first <= at <= last)

    def pause(self) -> None:
        if self.asr.plain:
            return
        self.early = self._give(Transcript(self.segment, self.text(), False, early=True))

    def resume(self) -> None:
        if self.early:
            self.early.cancel()

    def end(self) -> None:
        self._give(Transcript(self.segment, self.text(), True))

    def cancel(self) -> None:
        self.resume()

    def _give(self, transcript: Transcript) -> asyncio.TimerHandle:
        def post() -> None:
            if self.asr.mode != "deaf":
                self.due.put_nowait(transcript)

        return asyncio.get_running_loop().call_later(self.asr.takes, post)

    async def results(self) -> AsyncIterator[Transcript]:
        while transcript := await self.due.get():
            yield transcript
        raise EngineFailed("scripted: dead")

    async def aclose(self) -> None:
        self.closed = True


class FaultyTts(_Faulty):
    """A fifth of a second per word, in chunks of `piece` seconds; its level tells who spoke."""

    def __init__(
        self, name: str, level: int = 100, takes: float = 0.05, piece: float = 0.3, timed: bool = True
    ) -> None:
        super().__init__(name, takes)
        self.level, self.piece, self.timed = level, piece, timed
        self.voices: tuple[str, ...] = (name,)
        self.asked: list[str] = []
        self.fails_after = float("inf")
        """Chunks of the next passages that come before `then`."""
        self.then = "dead"

    async def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        self.admit(options.data)
        self.asked.append(text)
        await self._wait(self.takes)
        said = text.split()
        words = tuple(Word(word, n * WORD, (n + 1) * WORD, 1.0) for n, word in enumerate(said))
        pcm = np.full(round(len(said) * WORD * options.sample_rate), self.level, np.int16)
        size = round(self.piece * options.sample_rate)
        for number, place in enumerate(range(0, len(pcm), size)):
            if number >= self.fails_after:
                self.mode = self.then
            await self._wait(0.01)
            told = words if self.timed and not place else ()
            yield SpeechChunk(pcm[place : place + size], told)

    async def _wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self.mode == "dead":
            raise EngineFailed("scripted: dead")
        if self.mode == "deaf":
            await asyncio.sleep(3600.0)
