"""One recognition on the worker's side: octets in, segments into the engine, transcripts out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from engines.base import Asr, AsrStream, EngineFailed, EngineTimeout, Transcript
from engines.riva.asr_request import AsrAsk
from engines.riva.endpointing import Endpointer, Step, VoiceJudge
from engines.riva.intake import Intake
from engines.riva.limits import WireLimits
from engines.riva.refusal import Refused
from engines.riva.watch import WireWatch
from engines.riva.wire import Status
from media.clock import now
from media.frame import FRAME_MS, AudioFrame

Piece: TypeAlias = bytes | bool
"""What comes from a client: sound, or whether it thinks that it pauses."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A transcript and its place in the stream, in seconds."""

    transcript: Transcript
    begins: float
    """Sound before its segment."""
    processed: float
    """Sound up to the newest that its segment holds."""


@dataclass(slots=True)
class _Segment:
    begins: float
    heard: float = 0.0
    """Seconds of the stream up to its newest frame."""
    ended: float | None = None


Deliver: TypeAlias = Callable[[Heard], Awaitable[None]]


class AsrSession:
    """Serves one stream: `run` once. The engine's stream is opened with the first sound and always closed."""

    def __init__(
        self, engine: Asr, ask: AsrAsk, limits: WireLimits, watch: WireWatch, judge: Callable[[], VoiceJudge]
    ) -> None:
        self._engine = engine
        self._ask = ask
        self._limits = limits
        self._watch = watch
        self._intake = Intake(ask.form)
        self._endpointer = Endpointer(ask.endpoints, judge()) if ask.endpoints else None
        self._stream: AsrStream | None = None
        self._opened = asyncio.Event()
        self._segments: dict[int, _Segment] = {}
        self._count = 0
        self._frames = 0
        """Of the open segment."""
        self._settled = asyncio.Event()
        self.seconds = 0.0
        """Sound taken in so far."""

    async def run(self, pieces: AsyncIterator[Piece], deliver: Deliver) -> None:
        """Hear the pieces to their end and deliver every final. Raises `Refused` or `EngineError`."""
        loop = asyncio.get_running_loop()
        feed, relay = loop.create_task(self._feed(pieces)), loop.create_task(self._relay(deliver))
        try:
            await asyncio.wait({feed, relay}, return_when=asyncio.FIRST_COMPLETED)
            if relay.done():
                relay.result()
                if not feed.done():
                    raise EngineFailed(f"{self._engine.name} closed its stream")
            feed.result()
        finally:
            feed.cancel()
            relay.cancel()
            await asyncio.gather(feed, relay, return_exceptions=True)
            if self._stream is not None:
                await self._stream.aclose()

    async def _feed(self, pieces: AsyncIterator[Piece]) -> None:
        async for piece in pieces:
            if isinstance(piece, bool):
                self._pause(piece)
            else:
                await self._take(self._intake.push(piece, now()))
        await self._take(self._intake.flush(now()))
        self._end()
        await self._room(0)

    async def _take(self, frames: list[AudioFrame]) -> None:
        """The next frames into their segments; waits while the engine owes too many finals."""
        if not frames:
            return
        stream = self._open(frames[0].sample_rate)
        seconds = len(frames) * FRAME_MS / 1000
        self.seconds += seconds
        self._watch.heard(seconds)
        for frame in frames:
            if self._endpointer is None:
                self._push_own(stream, frame)
            elif self._push_cut(stream, self._endpointer, frame):
                await self._room(self._limits.segments_waiting - 1)

    def _open(self, sample_rate: int) -> AsrStream:
        if self._stream is None:
            self._stream = self._engine.stream(self._ask.options_at(sample_rate))
            self._opened.set()
        return self._stream

    def _push_own(self, stream: AsrStream, frame: AudioFrame) -> None:
        """Where the client cuts: all of it is one segment."""
        if not self._segments:
            self._start(stream, frame.media_time)
        if self._too_long():
            seconds = self._limits.segment_seconds
            raise Refused(f"audio_content: a segment of more than {seconds:g} s", Status.OUT_OF_RANGE)
        self._push(stream, frame)

    def _push_cut(self, stream: AsrStream, endpointer: Endpointer, frame: AudioFrame) -> bool:
        """Where we cut; says whether a segment ended."""
        speaking = endpointer.speaking
        step = endpointer.push(frame)
        if step is Step.START:
            frames = endpointer.preroll()
            self._start(stream, frames[0].media_time)
            for earlier in frames:
                self._push(stream, earlier)
            return False
        if not speaking:
            return False
        self._push(stream, frame)
        if step is Step.PAUSE:
            stream.pause()
        elif step is Step.RESUME:
            stream.resume()
        elif step is Step.END:
            self._end()
            return True
        if self._too_long():
            self._end()
            self._start(stream, frame.end_pts / frame.sample_rate)
            return True
        return False

    def _push(self, stream: AsrStream, frame: AudioFrame) -> None:
        self._frames += 1
        if segment := self._segments.get(self._count):
            segment.heard = frame.end_pts / frame.sample_rate
        stream.push(frame)

    def _pause(self, paused: bool) -> None:
        if self._endpointer is not None:
            raise Refused(
                "runtime_config: pauses are told only by clients that cut their segments themselves"
            )
        if self._stream is not None and self._segments:
            (self._stream.pause if paused else self._stream.resume)()

    def _start(self, stream: AsrStream, begins: float) -> None:
        self._count += 1
        self._frames = 0
        self._segments[self._count] = _Segment(begins)
        self._settled.clear()
        stream.start(self._count)

    def _end(self) -> None:
        segment = self._segments.get(self._count)
        if self._stream is not None and segment is not None and segment.ended is None:
            segment.ended = now()
            self._stream.end()

    def _too_long(self) -> bool:
        return self._frames * FRAME_MS / 1000 >= self._limits.segment_seconds

    async def _room(self, owed: int) -> None:
        """Wait until at most so many ended segments have no final. Raises `EngineTimeout`."""
        while sum(segment.ended is not None for segment in self._segments.values()) > owed:
            self._settled.clear()
            try:
                async with asyncio.timeout(self._limits.final_seconds):
                    await self._settled.wait()
            except TimeoutError:
                raise EngineTimeout(f"no final after {self._limits.final_seconds:g} s") from None

    async def _relay(self, deliver: Deliver) -> None:
        await self._opened.wait()
        if self._stream is None:
            return
        async for transcript in self._stream.results():
            segment = self._segments.get(transcript.segment)
            if segment is None:
                continue
            await deliver(Heard(transcript, segment.begins, segment.heard))
            if transcript.is_final:
                if segment.ended is not None:
                    self._watch.final_after(now() - segment.ended)
                del self._segments[transcript.segment]
                self._settled.set()
