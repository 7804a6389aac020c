"""One call's use of a recogniser, kept alive: a stream that breaks is replaced and hears it all again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from engines.base import Asr, AsrOptions, AsrStream, EngineError, EngineFailed, Transcript
from gateway.calls.settings import RecognitionSettings
from media.frame import FRAME_MS, AudioFrame

MOST_SEGMENTS = 4
"""Unfinished segments kept for a replay: the open one, and those whose final is still awaited."""


@dataclass(slots=True)
class _Segment:
    number: int
    frames: deque[AudioFrame]
    paused: bool = False
    ended: bool = False


class Recognition:
    """The caller's speech in, transcripts out, across any number of streams. Only `results` waits."""

    def __init__(self, asr: Asr, options: AsrOptions, settings: RecognitionSettings, log: Any) -> None:
        self._asr = asr
        self._options = options
        self._settings = settings
        self._log = log
        self._stream: AsrStream | None = None
        self._open: _Segment | None = None
        self._segments: dict[int, _Segment] = {}
        self.replaced = 0
        """Streams that broke and were replaced."""

    def start(self, segment: int, preroll: list[AudioFrame]) -> None:
        """Speech began, with these frames before the next one pushed."""
        keep = int(self._settings.replay * 1000) // FRAME_MS
        self._open = self._segments[segment] = _Segment(segment, deque(maxlen=keep))
        while len(self._segments) > MOST_SEGMENTS:
            del self._segments[next(iter(self._segments))]
        try:
            if self._stream is not None:
                self._stream.start(segment)
        except EngineError as error:  # hopelessly behind; the turn-taker's clock finds no words
            self._log.warning("recogniser refused a segment", engine=self._asr.name, error=str(error))
        for frame in preroll:
            self.push(frame)

    def push(self, frame: AudioFrame) -> None:
        """The next frame; nothing happens to it while no segment is open."""
        if self._open is not None:
            self._open.frames.append(frame)
            if self._stream is not None:
                self._stream.push(frame)

    def pause(self) -> None:
        """Speech seems to have stopped: decode early."""
        if self._open is not None:
            self._open.paused = True
            if self._stream is not None:
                self._stream.pause()

    def resume(self) -> None:
        """The pause was none."""
        if self._open is not None:
            self._open.paused = False
            if self._stream is not None:
                self._stream.resume()

    def end(self) -> None:
        """The open segment is over; its final is wanted."""
        if self._open is not None:
            self._open.ended = True
            self._open = None
            if self._stream is not None:
                self._stream.end()

    def drop(self, segment: int) -> None:
        """No transcript of this segment is wanted any more."""
        self._segments.pop(segment, None)
        if self._open is not None and self._open.number == segment:
            self._open = None
            if self._stream is not None:
                self._stream.cancel()
        elif (forget := getattr(self._stream, "forget", None)) is not None:
            forget(segment)  # a stream of several engines would let the next one hear it again

    async def results(self) -> AsyncGenerator[Transcript, None]:
        """Transcripts, until it is closed. Raises `EngineFailed` when stream after stream breaks."""
        failures = 0
        while True:
            try:
                self._stream = self._asr.stream(self._options)
                self._replay(self._stream)
                async for transcript in self._stream.results():
                    failures = 0
                    if transcript.is_final and not transcript.early:
                        self._segments.pop(transcript.segment, None)
                    yield transcript
                self._log.warning("recogniser closed its stream", engine=self._asr.name)
            except EngineError as error:
                self._log.warning("recogniser failed", engine=self._asr.name, error=str(error))
            finally:
                await self._close_stream()
            failures += 1
            self.replaced += 1
            if failures >= self._settings.attempts:
                raise EngineFailed(f"{self._asr.name} failed {failures} times in a row")
            await asyncio.sleep(self._settings.backoff * failures)

    def _replay(self, stream: AsrStream) -> None:
        """Let a new stream hear what the broken one left unfinished."""
        for segment in self._segments.values():
            stream.start(segment.number)
            for frame in segment.frames:
                stream.push(frame)
            if segment.ended:
                stream.end()
            elif segment.paused:
                stream.pause()

    async def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()
