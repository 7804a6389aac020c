"""One call's use of the Moonshine recogniser: segments in, transcripts out, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable

from engines.base import AsrOptions, EngineBusy, Transcript
from engines.embedded.moonshine_segment import Phase, Segment, Workshop
from engines.embedded.moonshine_tokens import HotWords
from engines.transcript_mail import TranscriptMail
from media.clock import now
from media.frame import AudioFrame

_UNSETTLED = 16
"""Segments of one stream that may wait for their finals; beyond it the engine is hopelessly behind."""
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
        self._mail = TranscriptMail(shop.counts)
        self._closed = False
        self._began: float | None = None
        self._seconds = 0.0

    @property
    def unread(self) -> int:
        """Transcripts that wait for the reader."""
        return len(self._mail)

    def start(self, segment: int) -> None:
        """Open a segment, ending one still open. Too many without their finals: `results` raises."""
        self.end()
        if self._closed:
            return
        self._began = self._began if self._began is not None else now()
        if len(self._order) >= _UNSETTLED:
            self._shop.counts["segments_refused"] += 1
            waiting = len(self._order)
            self._mail.fail(EngineBusy(f"{waiting} segments of this stream still wait to be decoded"))
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

    def results(self) -> AsyncIterator[Transcript]:
        """See `AsrStream.results`. Raises the `EngineError` that cost a segment its final.

        After that error the stream goes on, and its results may be asked for again.
        """
        return self._mail.results()

    async def aclose(self) -> None:
        """See `AsrStream.aclose`."""
        if self._closed:
            return
        self._closed = True
        for segment in self._order:
            segment.cancel()
        self._order.clear()
        self._open = None
        self._mail.close()
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
                self._mail.post(transcript)
            segment.outbox.clear()
            if segment.error:
                self._mail.fail(segment.error)
            if segment.phase is not Phase.SETTLED:
                break
            self._order.popleft()
            if segment is self._open:
                self._open = None
