"""One call's use of the Moonshine recogniser: segments in, transcripts out, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from engines.base import AsrOptions, EngineBusy, EngineError, Transcript
from engines.embedded.moonshine_segment import Phase, Segment, Workshop
from engines.embedded.moonshine_tokens import HotWords
from media.clock import now
from media.frame import AudioFrame

_UNSETTLED = 16
"""Segments of one stream that may wait for their finals; beyond it the engine is hopelessly behind."""
_UNREAD = 256
"""Transcripts that may wait for the reader; beyond it the oldest interims go, then the oldest finals."""

_HURRY = 30.0
"""Seconds of sound that a live caller may be ahead of the clock, as when a turn is replayed to a standby."""


class MoonshineStream:
    """Serves `AsrStream` on the loop it was made on. Not thread-safe, as no stream needs to be."""

    def __init__(
        self,
        shop: Workshop,
        options: AsrOptions,
        hot_words: HotWords | None,
        closed: Callable[[MoonshineStream], None],
    ) -> None:
        self._shop = shop
        self._options = options
        self._hot_words = hot_words
        self._on_closed = closed
        self._open: Segment | None = None
        self._order: deque[Segment] = deque()
        self._unread: deque[Transcript] = deque()
        self._error: EngineError | None = None
        self._news = asyncio.Event()
        self._closed = False
        self._read = False
        self._began: float | None = None
        self._seconds = 0.0

    @property
    def unread(self) -> int:
        """Transcripts that wait for the reader."""
        return len(self._unread)

    def start(self, segment: int) -> None:
        """Open a segment, ending one still open. Too many without their finals: `results` raises."""
        self.end()
        if self._closed:
            return
        self._began = self._began if self._began is not None else now()
        if len(self._order) >= _UNSETTLED:
            self._shop.counts["segments_refused"] += 1
            self._error = EngineBusy(f"{len(self._order)} segments of this stream still wait to be decoded")
            self._news.set()
            return
        self._open = Segment(
            segment,
            self._shop,
            sample_rate=self._options.sample_rate,
            hot_words=self._hot_words,
            interim=self._options.interim,
            background=self._in_background,
            changed=self._deliver,
        )
        self._order.append(self._open)

    def push(self, frame: AudioFrame) -> None:
        """Audio of the open segment; counted and dropped when none is open."""
        if frame.sample_rate != self._options.sample_rate:
            raise ValueError(f"frame of {frame.sample_rate} Hz on a stream of {self._options.sample_rate} Hz")
        if self._open:
            self._seconds += len(frame.pcm) / frame.sample_rate
            self._open.push(frame)
        else:
            self._shop.counts["frames_without_segment"] += 1

    def pause(self) -> None:
        """See `AsrStream.pause`. Silence pushed after it does not spoil the early decode; speech does."""
        if self._open:
            self._open.pause()

    def resume(self) -> None:
        """See `AsrStream.resume`."""
        if self._open:
            self._open.resume()

    def end(self) -> None:
        """See `AsrStream.end`."""
        segment, self._open = self._open, None
        if segment:
            segment.end()

    def cancel(self) -> None:
        """See `AsrStream.cancel`."""
        segment, self._open = self._open, None
        if segment:
            segment.cancel()
            self._deliver()

    async def results(self) -> AsyncIterator[Transcript]:
        """See `AsrStream.results`. Raises the `EngineError` that cost a segment its final.

        After that error the stream goes on, and its results may be asked for again.
        """
        if self._read:
            raise RuntimeError("a stream's results have one reader only")
        self._read = True
        try:
            while True:
                while self._unread:
                    yield self._unread.popleft()
                if self._error:
                    error, self._error = self._error, None
                    raise error
                if self._closed:
                    return
                self._news.clear()
                await self._news.wait()
        finally:
            self._read = False

    async def aclose(self) -> None:
        """See `AsrStream.aclose`."""
        if self._closed:
            return
        self._closed = True
        for segment in self._order:
            segment.cancel()
        self._order.clear()
        self._open = None
        self._news.set()
        self._on_closed(self)

    def _in_background(self) -> bool:
        """Whether nobody waits live: somebody said so, or sound came far faster than anybody speaks."""
        began = self._began if self._began is not None else now()
        return self._options.background or self._seconds - (now() - began) > _HURRY

    def _deliver(self) -> None:
        """Move transcripts to the reader; a later segment waits until the one before it is settled."""
        while self._order:
            segment = self._order[0]
            for transcript in segment.outbox:
                self._post(transcript)
            segment.outbox.clear()
            self._error = self._error or segment.error
            if segment.phase is not Phase.SETTLED:
                break
            self._order.popleft()
            if segment is self._open:
                self._open = None
        self._news.set()

    def _post(self, transcript: Transcript) -> None:
        last = self._unread[-1] if self._unread else None
        if last and not last.is_final and not last.early and last.segment == transcript.segment:
            self._unread.pop()
        if len(self._unread) >= _UNREAD:
            self._shop.counts["unread_dropped"] += 1
            self._unread.popleft()
        self._unread.append(transcript)
