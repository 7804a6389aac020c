"""One call's use of a NeMo recogniser: segments in, transcripts out, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from engines.base import AsrOptions, EngineError, Transcript
from engines.nemo.engine_thread import EngineThread
from engines.nemo.hearing import Hearing
from engines.nemo.hot_words import HotWords
from engines.nemo.scheduler import Lane, Scheduler
from engines.nemo.stepper import Stepper
from engines.nemo.words import Script
from engines.transcript_mail import TranscriptMail
from media.frame import AudioFrame, Pcm
from media.resample import Resampler


class NemoStream:
    """Serves `AsrStream` on the loop it was made on. Holds a slot of the model until it is closed."""

    def __init__(
        self,
        thread: EngineThread,
        stepper: Stepper,
        lane: Lane,
        options: AsrOptions,
        hot_words: HotWords | None,
        closed: Callable[[NemoStream], None],
    ) -> None:
        self._thread = thread
        self._stepper = stepper
        self._lane = lane
        self._options = options
        self._hot_words = hot_words
        self._on_closed = closed
        self._loop = asyncio.get_running_loop()
        self._resampler = Resampler(options.sample_rate, stepper.geometry.sample_rate)
        self._hearing: Hearing | None = None
        self._mail = TranscriptMail(thread.counts)
        self._closed = False

    def start(self, segment: int) -> None:
        """Open a segment, ending one still open. Where that cannot be, `results` raises."""
        self.end()
        if self._closed:
            return
        script = Script(self._stepper.vocabulary, self._stepper.geometry.output_seconds)
        hearing = Hearing(
            segment,
            script,
            interim=self._options.interim,
            loop=self._loop,
            told=self._tell,
            broke=self._break,
        )
        self._resampler = Resampler(self._options.sample_rate, self._stepper.geometry.sample_rate)
        try:
            with self._thread.scheduler() as scheduler:
                scheduler.start(self._lane, segment, hearing, self._hot_words)
        except EngineError as error:
            self._break(hearing, error)
            return
        self._hearing = hearing

    def push(self, frame: AudioFrame) -> None:
        """Audio of the open segment; counted and dropped when none is open."""
        if frame.sample_rate != self._options.sample_rate:
            raise ValueError(f"frame of {frame.sample_rate} Hz on a stream of {self._options.sample_rate} Hz")
        if self._hearing is None:
            self._thread.counts["frames_without_segment"] += 1
            return
        self._push(self._resampler.push(frame.pcm))

    def pause(self) -> None:
        """See `AsrStream.pause`. Frames may go on coming; they are heard all the same."""
        if self._hearing is not None and not self._hearing.paused:
            self._hearing.paused = True
            self._do(lambda scheduler: scheduler.pause(self._lane, self._thread.clock()))

    def resume(self) -> None:
        """See `AsrStream.resume`."""
        if self._hearing is not None and self._hearing.paused:
            self._hearing.paused = False
            self._do(lambda scheduler: scheduler.resume(self._lane))

    def end(self) -> None:
        """See `AsrStream.end`."""
        if self._hearing is not None:
            self._push(self._resampler.flush())
        if self._hearing is not None:
            self._hearing.paused = False
            self._do(lambda scheduler: scheduler.end(self._lane, self._thread.clock()))
            self._hearing = None

    def cancel(self) -> None:
        """See `AsrStream.cancel`."""
        hearing, self._hearing = self._hearing, None
        if hearing is not None:
            self._do(lambda scheduler: scheduler.cancel(self._lane))
            self._mail.forget(hearing.number)

    def results(self) -> AsyncIterator[Transcript]:
        """See `AsrStream.results`. Raises the `EngineError` that cost a segment its final.

        After that error the stream goes on, and its results may be asked for again.
        """
        return self._mail.results()

    async def aclose(self) -> None:
        """See `AsrStream.aclose`. The slot is free at once, or when the running step returns."""
        if self._closed:
            return
        self._closed = True
        self._hearing = None
        self._thread.release(self._lane)
        self._mail.close()
        self._on_closed(self)

    def _push(self, pcm: Pcm) -> None:
        if len(pcm):
            self._do(lambda scheduler: scheduler.push(self._lane, pcm, self._thread.clock()))

    def _do(self, work: Callable[[Scheduler], None]) -> None:
        """Something under the scheduler's lock; what it refuses costs the open segment."""
        try:
            with self._thread.scheduler() as scheduler:
                work(scheduler)
        except EngineError as error:
            hearing, self._hearing = self._hearing, None
            if hearing is not None:
                self._break(hearing, error)

    def _tell(self, hearing: Hearing, transcript: Transcript) -> None:
        """On the loop: to the reader, unless nobody wants it any more."""
        if self._closed or (transcript.early and not hearing.paused):
            return
        self._mail.post(transcript)

    def _break(self, hearing: Hearing, error: EngineError) -> None:
        """On the loop: the segment is lost."""
        if self._hearing is hearing:
            self._hearing = None
        self._thread.counts["segments_failed"] += 1
        self._mail.fail(error)
