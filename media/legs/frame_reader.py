"""Brings the frames of all legs from the native bus into Python, once per tick of its clock (5 ms).

One tick: one `poll` fills one array with the frames of every leg, the voice detector judges them in one
batch, and each leg's sink gets its frames in order. While a batch is judged in the worker thread no second
one is begun; what arrives meanwhile waits in the bus's own rings, which are bounded and counted there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import structlog

from media.frame import AudioFrame, Voice
from media.vad import VoiceDetector

log = structlog.get_logger(__name__)

BusEvent: TypeAlias = tuple[int, int, int, int, int]
"""Leg, kind, reply, value, monotonic nanoseconds."""

_CAPACITY = 1_024
"""Frames per poll: three frames of 300 legs; a longer backlog takes several polls."""
_INLINE_ROWS = 24
"""Up to this many frames the batch is judged at once: a thread switch would cost more than the work."""
_MAX_POLLS = 8
"""Polls per tick, so that a backlog cannot hold the loop; the rest follows in the next turn of it."""
_LOST, _DTX = 1, 2


class FrameSource(Protocol):
    """The part of the native bus that reading needs."""

    def fileno(self) -> int:
        """An eventfd that becomes readable on every tick."""

    def poll(self, pcm: npt.NDArray[np.int16], meta: npt.NDArray[np.void]) -> int:
        """Fill both arrays from their starts; returns the rows filled."""

    def events(self) -> Sequence[BusEvent]:
        """What happened to playouts since the last call."""


class FrameSink(Protocol):
    """A leg, as the reader sees it."""

    def frame(self, frame: AudioFrame, voice: Voice) -> None:
        """One frame, in the order of the stream."""

    def bus_event(self, kind: int, reply: int, value: int, at: float) -> None:
        """Something about its playout, `at` monotonic seconds."""


class FrameReader:
    """Reads one bus on one event loop."""

    def __init__(
        self,
        source: FrameSource,
        dtype: npt.DTypeLike,
        voice: VoiceDetector,
        loop: asyncio.AbstractEventLoop,
        *,
        capacity: int = _CAPACITY,
        inline_rows: int = _INLINE_ROWS,
    ) -> None:
        self.ticks = 0
        self.frames = 0
        self.orphans = 0
        self.failures = 0
        self.busy_ticks = 0
        self._source = source
        self._voice = voice
        self._loop = loop
        self._inline_rows = inline_rows
        self._sinks: dict[int, FrameSink] = {}
        self._pcm: npt.NDArray[np.int16] = np.zeros((capacity, 320), np.int16)
        self._meta: npt.NDArray[np.void] = np.zeros(capacity, dtype)
        self._judging: asyncio.Future[list[Voice]] | None = None
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="offhook-vad")

    def start(self) -> None:
        """Begin to read. The loop must be running on this thread."""
        self._pool.submit(int)  # start the worker now: its first batch shall not wait, nor threads grow later
        self._loop.add_reader(self._source.fileno(), self._on_tick)

    async def aclose(self) -> None:
        """Stop reading and end the worker thread."""
        self._loop.remove_reader(self._source.fileno())
        if self._judging is not None:
            await asyncio.wait([self._judging], timeout=2.0)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def add(self, leg: int, sink: FrameSink) -> None:
        """Deliver this leg's frames and events to `sink`."""
        self._sinks[leg] = sink

    def remove(self, leg: int) -> None:
        """The leg is over: frames that are still under way are dropped and counted as orphans."""
        self._sinks.pop(leg, None)
        self._voice.forget(leg)

    def _on_tick(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._source.fileno(), 8)
        self.ticks += 1
        if self._judging is not None:
            self.busy_ticks += 1
            return
        self._read()
        self._deliver_events()

    def _read(self) -> None:
        for _ in range(_MAX_POLLS):
            rows = self._source.poll(self._pcm, self._meta)
            if rows == 0:
                return
            self.frames += rows
            if rows > self._inline_rows:
                self._judge_aside(rows)
                return
            self._judge_here(rows)
            if rows < len(self._pcm):
                return
        self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._judging is None:
            self._read()

    def _judge_here(self, rows: int) -> None:
        legs, counts, rates = self._columns(rows)
        try:
            voices = self._voice.judge(legs, self._pcm[:rows], counts, rates)
        except Exception as error:
            voices = self._failed(rows, error)
        self._deliver(rows, legs, counts, rates, voices)

    def _judge_aside(self, rows: int) -> None:
        legs, counts, rates = self._columns(rows)
        self._judging = self._loop.run_in_executor(
            self._pool, self._voice.judge, legs, self._pcm[:rows], counts, rates
        )

        def done(judging: asyncio.Future[list[Voice]]) -> None:
            self._judging = None
            if judging.cancelled():
                return
            error = judging.exception()
            voices = self._failed(rows, error) if error is not None else judging.result()
            self._deliver(rows, legs, counts, rates, voices)
            self._read()
            self._deliver_events()

        self._judging.add_done_callback(done)

    def _columns(self, rows: int) -> tuple[list[int], list[int], list[int]]:
        legs: list[int] = self._meta["leg"][:rows].tolist()
        counts: list[int] = self._meta["samples"][:rows].tolist()
        return legs, counts, [count * 50 for count in counts]

    def _deliver(
        self, rows: int, legs: list[int], counts: list[int], rates: list[int], voices: Sequence[Voice]
    ) -> None:
        meta = self._meta[:rows]
        pts: list[int] = meta["pts"].tolist()
        arrived: list[float] = (meta["arrived_ns"] * 1e-9).tolist()
        lost: list[bool] = (meta["flags"] & _LOST).astype(bool).tolist()
        dtx: list[bool] = (meta["flags"] & _DTX).astype(bool).tolist()
        sinks, pcm = self._sinks, self._pcm
        for i, leg in enumerate(legs):
            sink = sinks.get(leg)
            if sink is None:
                self.orphans += 1
                continue
            samples = pcm[i, : counts[i]].copy()
            try:
                frame = AudioFrame(samples, rates[i], pts[i], arrived[i], lost[i], dtx[i])
                sink.frame(frame, voices[i])
            except Exception as error:
                self.failures += 1
                log.error("leg failed on a frame", leg=leg, error=repr(error))

    def _deliver_events(self) -> None:
        for leg, kind, reply, value, at_ns in self._source.events():
            sink = self._sinks.get(leg)
            if sink is None:
                continue
            try:
                sink.bus_event(kind, reply, value, at_ns * 1e-9)
            except Exception as error:
                self.failures += 1
                log.error("leg failed on a playout event", leg=leg, error=repr(error))

    def _failed(self, rows: int, error: BaseException) -> list[Voice]:
        self.failures += 1
        log.error("voice detector failed", error=repr(error))
        return [Voice(False, 0.0)] * rows
