"""Voice or not, for every stream of the API together: one judgement at a time, in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import TypeAlias

import numpy as np

from media.frame import AudioFrame, Voice, frame_samples
from media.vad import WIDE_RATE, VoiceDetector

Judged: TypeAlias = list[Voice]
Run: TypeAlias = Callable[[Callable[[], Judged]], Awaitable[Judged]]
"""Does the work away from the loop; tests do it at once."""

_MOST_ROWS = 512
"""Frames of one judgement: a long recording must not keep live streams waiting."""
_FEW = 3
"""So many streams are judged as they come: collecting would only add delay."""


@dataclass(slots=True)
class _Asked:
    leg: int
    frames: Sequence[AudioFrame]
    answer: asyncio.Future[Judged]


class VoiceBench:
    """Judges frames of many streams in batches. `open` a stream, `judge` its frames in order, `close` it."""

    def __init__(self, detector: VoiceDetector, *, gather: float = 0.005, run: Run | None = None) -> None:
        """`gather`: seconds for which the frames of many streams are collected before they are judged."""
        self._detector = detector
        self._gather = gather
        self._pool = None if run else ThreadPoolExecutor(1, "offhook-api-vad")
        self._run = run or self._aside
        self._numbers = count(1)
        self._open: set[int] = set()
        self._waiting: list[_Asked] = []
        self._worker: asyncio.Task[None] | None = None
        self.failures = 0
        """Judgements that broke; their frames counted as silence."""

    def open(self) -> int:
        """A number for a new stream."""
        leg = next(self._numbers)
        self._open.add(leg)
        return leg

    async def judge(self, leg: int, frames: Sequence[AudioFrame]) -> Judged:
        """One answer for each frame. A stream asks again only when it was answered."""
        voices: Judged = []
        for place in range(0, len(frames), _MOST_ROWS):
            answer: asyncio.Future[Judged] = asyncio.get_running_loop().create_future()
            self._waiting.append(_Asked(leg, frames[place : place + _MOST_ROWS], answer))
            if self._worker is None or self._worker.done():
                self._worker = asyncio.get_running_loop().create_task(self._work(), name="api-vad")
            voices += await answer
        return voices

    def close(self, leg: int) -> None:
        """The stream is over."""
        if leg in self._open:
            self._open.remove(leg)
            self._detector.forget(leg)

    async def aclose(self) -> None:
        """End the thread; who still waits is told silence. Idempotent."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        while self._waiting:
            if len(self._open) > _FEW:
                await asyncio.sleep(self._gather)
            batch = self._taken()
            try:
                voices = await self._run(lambda asked=batch: self._judged(asked))  # type: ignore[misc]
            except Exception:
                self.failures += 1
                voices = [Voice(False, 0.0)] * sum(len(asked.frames) for asked in batch)
            place = 0
            for asked in batch:
                if not asked.answer.done():
                    asked.answer.set_result(voices[place : place + len(asked.frames)])
                place += len(asked.frames)

    def _taken(self) -> list[_Asked]:
        """The oldest requests, as many as one judgement takes; small ones are not held up by a large one."""
        self._waiting.sort(key=lambda asked: len(asked.frames))
        rows = 0
        batch: list[_Asked] = []
        while self._waiting and (not batch or rows + len(self._waiting[0].frames) <= _MOST_ROWS):
            asked = self._waiting.pop(0)
            batch.append(asked)
            rows += len(asked.frames)
        return batch

    def _judged(self, batch: Sequence[_Asked]) -> Judged:
        rows = [(asked.leg, frame) for asked in batch for frame in asked.frames]
        pcm = np.zeros((len(rows), frame_samples(WIDE_RATE)), np.int16)
        for row, (_, frame) in enumerate(rows):
            pcm[row, : len(frame.pcm)] = frame.pcm
        counts = [len(frame.pcm) for _, frame in rows]
        rates = [frame.sample_rate for _, frame in rows]
        return self._detector.judge([leg for leg, _ in rows], pcm, counts, rates)

    async def _aside(self, work: Callable[[], Judged]) -> Judged:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)
