"""What a call's recognition is made of: a segment with its sound, and one engine's stream."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from engines.base import Asr, AsrStream, EngineError, EngineFailed, Transcript
from engines.router.bench import Member
from media.clock import now
from media.frame import AudioFrame

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Segment:
    """One stretch of speech that has no final yet."""

    number: int
    started: float
    frames: deque[AudioFrame]
    paused: bool = False
    ended: bool = False
    asked: float | None = None
    """Since when an early or final answer is due; None: none is."""
    worded: bool = False
    """Words of it were shown."""
    final: Transcript | None = None
    """It is here, and waits for that of an earlier segment."""
    promised: str = ""
    """Text shown that no later interim may take back."""

    def replay(self, stream: AsrStream) -> None:
        """Let a stream hear it all."""
        stream.start(self.number)
        for frame in self.frames:
            stream.push(frame)
        if self.ended:
            stream.end()
        elif self.paused:
            stream.pause()


class Line:
    """One engine's stream, as long as it lasts."""

    def __init__(
        self,
        member: Member[Asr],
        stream: AsrStream,
        take: Callable[[Line, Transcript], None],
        broke: Callable[[Line, EngineError], None],
    ) -> None:
        self.member = member
        self.stream = stream
        self.since = now()
        self._take = take
        self._broke = broke
        self._reading = asyncio.get_running_loop().create_task(self._read(), name=f"hear-{member.name}")
        member.running += 1

    async def close(self) -> None:
        """Free everything. Once."""
        self._reading.cancel()
        self.member.running -= 1
        await asyncio.gather(self._reading, return_exceptions=True)
        with suppress(EngineError):
            await self.stream.aclose()

    async def _read(self) -> None:
        error: EngineError
        try:
            async for transcript in self.stream.results():
                self._take(self, transcript)
            error = EngineFailed("it closed the stream")
        except EngineError as raised:
            error = raised
        except Exception as bug:
            log.exception("a recogniser broke", engine=self.member.name)
            error = EngineFailed(f"it broke: {type(bug).__name__}")
        self._broke(self, error)
