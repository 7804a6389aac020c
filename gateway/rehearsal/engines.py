"""Ears that know what the caller says, and a voice whose sound carries its text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np

from engines.base import AsrOptions, AsrStream, EngineFailed, SpeechChunk, Transcript, TtsOptions, Word
from gateway.rehearsal.telephone import Said
from media.frame import AudioFrame, Pcm

_WORD = 0.3
_TAKES = 0.05
_FIRST = 20_000
"""Samples of this value and above are the voice's; the value says which text it is."""


class RehearsedVoice:
    """A `Tts`. With `fails`, no sentence is ever spoken."""

    name = "rehearsal"
    voices = ("rehearsal",)

    def __init__(self, *, fails: bool = False) -> None:
        self._fails = fails
        self._texts: list[str] = []

    async def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        await asyncio.sleep(_TAKES)
        if self._fails:
            raise EngineFailed("the voice fails in this case")
        self._texts.append(text)
        said = text.split()
        words = tuple(Word(word, n * _WORD, (n + 1) * _WORD, 1.0) for n, word in enumerate(said))
        count = max(1, round(len(said) * _WORD * options.sample_rate))
        yield SpeechChunk(np.full(count, _FIRST + len(self._texts) % 10_000, np.int16), words)

    def text(self, pcm: Pcm) -> str | None:
        """What these samples say; None when they are not the voice's."""
        value = int(pcm[0]) if len(pcm) else 0
        known = value >= _FIRST and int(pcm[-1]) == value
        return self._texts[(value - _FIRST - 1) % 10_000] if known else None

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...


class RehearsedEars:
    """An `Asr`. `said` is what the caller has said so far; with `fails`, no stream can be opened."""

    name = "rehearsal"

    def __init__(self, said: Callable[[], Sequence[Said]], *, fails: bool = False) -> None:
        self.said = said
        self._fails = fails

    def stream(self, options: AsrOptions) -> AsrStream:
        if self._fails:
            raise EngineFailed("the recogniser fails in this case")
        return _Stream(self)

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...


class _Stream:
    def __init__(self, ears: RehearsedEars) -> None:
        self._ears = ears
        self._segment = 0
        self._first = self._last = -1
        self._due: asyncio.Queue[Transcript] = asyncio.Queue()

    def start(self, segment: int) -> None:
        self._segment, self._first, self._last = segment, -1, -1

    def push(self, frame: AudioFrame) -> None:
        self._first = frame.pts if self._first < 0 else self._first
        self._last = frame.end_pts

    def pause(self) -> None:
        self._give(early=True)

    def resume(self) -> None: ...

    def end(self) -> None:
        self._give(early=False)

    cancel = resume

    def _give(self, *, early: bool) -> None:
        first, last = self._first, self._last
        inside = [said.words for said in self._ears.said() if first <= (said.start + said.end) // 2 <= last]
        transcript = Transcript(self._segment, " ".join(inside), is_final=not early, early=early)
        asyncio.get_running_loop().call_later(_TAKES, self._due.put_nowait, transcript)

    async def results(self) -> AsyncIterator[Transcript]:
        while True:
            yield await self._due.get()

    async def aclose(self) -> None: ...
