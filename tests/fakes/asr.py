"""A recogniser with a script: it knows what was said when, and hears only what was pushed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from engines.base import AsrOptions, AsrStream, EngineFailed, Transcript
from media.frame import AudioFrame


class ScriptedAsr:
    """`says`: (start, end, words) of media. A decode takes `takes` seconds; at `dies_at` streams break."""

    name = "scripted"

    def __init__(
        self, says: Sequence[tuple[float, float, str]], takes: float = 0.06, dies_at: Sequence[float] = ()
    ) -> None:
        self.says, self.takes, self.dies_at = says, takes, list(dies_at)
        self.streams: list[ScriptedStream] = []

    def stream(self, options: AsrOptions) -> AsrStream:
        self.streams.append(ScriptedStream(self))
        return self.streams[-1]

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...


class ScriptedStream:
    def __init__(self, asr: ScriptedAsr) -> None:
        self.asr, self.segment, self.frames = asr, 0, list[AudioFrame]()
        self.due: asyncio.Queue[Transcript | None] = asyncio.Queue()
        self.early: asyncio.TimerHandle | None = None

    def start(self, segment: int) -> None:
        self.segment, self.frames, self.early = segment, [], None

    def push(self, frame: AudioFrame) -> None:
        self.frames.append(frame)
        if self.asr.dies_at and frame.arrived >= self.asr.dies_at[0]:
            self.asr.dies_at.pop(0)
            self.due.put_nowait(None)

    def text(self) -> str:
        first, last = self.frames[0].media_time, self.frames[-1].media_time
        return " ".join(words for start, end, words in self.asr.says if first <= (start + end) / 2 <= last)

    def pause(self) -> None:
        early = Transcript(self.segment, self.text(), is_final=False, early=True)
        self.early = self._give(early, self.asr.takes)

    def resume(self) -> None:
        if self.early:
            self.early.cancel()

    def end(self) -> None:
        """The early decode, done or still under way, is the final: it is claimed, not repeated."""
        now = asyncio.get_running_loop().time()
        rest = max(0.0, self.early.when() - now) if self.early else self.asr.takes
        self._give(Transcript(self.segment, self.text(), is_final=True), rest)

    cancel = resume

    def _give(self, transcript: Transcript, after: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(after, self.due.put_nowait, transcript)

    async def results(self) -> AsyncIterator[Transcript]:
        while transcript := await self.due.get():
            yield transcript
        raise EngineFailed("scripted")

    async def aclose(self) -> None: ...
