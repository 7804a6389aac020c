"""The frame reader: every frame once, in order, judged in batches, never two batches at a time."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from media.frame import AudioFrame, Pcm, Voice
from media.legs.frame_reader import BusEvent, FrameReader

DTYPE = np.dtype(
    [("leg", "i4"), ("samples", "i4"), ("pts", "i8"), ("arrived_ns", "i8"), ("flags", "u4")], align=True
)


class ScriptedSource:
    """A bus whose frames the test puts in."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.rows: list[tuple[int, Pcm, int, int, int]] = []
        self.waiting: list[BusEvent] = []
        self.polls = 0

    def fileno(self) -> int:
        return self._fd

    def put(self, leg: int, value: int, pts: int, *, samples: int = 160, flags: int = 0) -> None:
        self.rows.append((leg, np.full(samples, value, np.int16), pts, 5_000_000_000 + pts, flags))

    def tick(self) -> None:
        os.eventfd_write(self._fd, 1)

    def poll(self, pcm: npt.NDArray[np.int16], meta: npt.NDArray[np.void]) -> int:
        self.polls += 1
        taken = self.rows[: len(pcm)]
        self.rows = self.rows[len(pcm) :]
        for i, (leg, samples, pts, arrived, flags) in enumerate(taken):
            pcm[i, : len(samples)] = samples
            meta[i] = (leg, len(samples), pts, arrived, flags)
        return len(taken)

    def events(self) -> Sequence[BusEvent]:
        events, self.waiting = self.waiting, []
        return events

    def close(self) -> None:
        os.close(self._fd)


class CountingDetector:
    """Says how loud the first sample is; can be slow, and notices when two batches overlap."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.batches: list[int] = []
        self.forgotten: list[int] = []
        self.overlapped = False
        self.broken = False
        self.threads: set[str] = set()
        self._busy = False

    def judge(
        self,
        legs: Sequence[int],
        frames: npt.NDArray[np.int16],
        counts: Sequence[int] | npt.NDArray[np.integer],
        rates: Sequence[int] | npt.NDArray[np.integer],
    ) -> list[Voice]:
        self.overlapped |= self._busy
        self._busy = True
        self.threads.add(threading.current_thread().name)
        self.batches.append(len(legs))
        time.sleep(self.delay)
        self._busy = False
        if self.broken:
            raise RuntimeError("model is broken")
        return [Voice(bool(frame[0]), frame[0] / 100) for frame in frames]

    def forget(self, leg: int) -> None:
        self.forgotten.append(leg)


class Sink:
    def __init__(self) -> None:
        self.heard: list[tuple[AudioFrame, Voice]] = []
        self.seen: list[tuple[int, int, int, float]] = []
        self.failing = False

    def frame(self, frame: AudioFrame, voice: Voice) -> None:
        self.heard.append((frame, voice))
        if self.failing:
            raise KeyError("listener is broken")

    def bus_event(self, kind: int, reply: int, value: int, at: float) -> None:
        self.seen.append((kind, reply, value, at))


class Setup:
    """A reader on a running loop, with two legs."""

    def __init__(self, *, delay: float = 0.0, capacity: int = 64, inline_rows: int = 24) -> None:
        self.source = ScriptedSource()
        self.detector = CountingDetector(delay)
        loop = asyncio.get_running_loop()
        self.reader = FrameReader(
            self.source, DTYPE, self.detector, loop, capacity=capacity, inline_rows=inline_rows
        )
        self.sinks = {leg: Sink() for leg in (1, 2)}
        for leg, sink in self.sinks.items():
            self.reader.add(leg, sink)
        self.reader.start()

    async def tick(self, turns: int = 3) -> None:
        self.source.tick()
        for _ in range(turns):
            await asyncio.sleep(0)

    async def aclose(self) -> None:
        await self.reader.aclose()
        self.source.close()


def test_frames_reach_their_legs_in_order_with_their_judgement() -> None:
    async def main() -> None:
        setup = Setup()
        setup.source.put(1, 50, 0)
        setup.source.put(2, 0, 0, samples=320, flags=1)
        setup.source.put(1, 60, 160)
        setup.source.put(1, 0, 320, flags=2)
        await setup.tick()
        frames = [frame for frame, _ in setup.sinks[1].heard]
        assert [(f.pts, f.pcm[0], f.sample_rate, f.lost, f.dtx) for f in frames] == [
            (0, 50, 8000, False, False), (160, 60, 8000, False, False), (320, 0, 8000, False, True),
        ]  # fmt: skip
        assert frames[1].arrived == 5.00000016
        wide, voice = setup.sinks[2].heard[0]
        assert (wide.sample_rate, len(wide.pcm), wide.lost, voice.quick) == (16000, 320, True, False)
        assert setup.sinks[1].heard[0][1] == Voice(True, 0.5)
        assert setup.detector.batches == [4]
        await setup.aclose()

    asyncio.run(main())


def test_frames_stay_as_they_were_when_the_next_tick_comes() -> None:
    async def main() -> None:
        setup = Setup()
        for value in (11, 22):
            setup.source.put(1, value, value)
            await setup.tick()
        assert [int(frame.pcm[-1]) for frame, _ in setup.sinks[1].heard] == [11, 22]
        await setup.aclose()

    asyncio.run(main())


def test_a_large_batch_is_judged_aside_and_ticks_meanwhile_wait_their_turn() -> None:
    async def main() -> None:
        setup = Setup(delay=0.02, inline_rows=1)
        for pts in range(3):
            setup.source.put(1, 10, pts)
        await setup.tick()
        setup.source.put(1, 10, 3)
        setup.source.put(1, 10, 4)
        await setup.tick()
        assert setup.sinks[1].heard == []
        for _ in range(50):
            await asyncio.sleep(0.005)
        assert [frame.pts for frame, _ in setup.sinks[1].heard] == [0, 1, 2, 3, 4]
        assert not setup.detector.overlapped
        assert setup.detector.batches == [3, 2]
        assert all(name.startswith("offhook-vad") for name in setup.detector.threads)
        assert setup.reader.busy_ticks == 1
        await setup.aclose()

    asyncio.run(main())


def test_a_backlog_is_read_in_bounded_steps_and_whole() -> None:
    async def main() -> None:
        setup = Setup(capacity=4)
        for pts in range(50):
            setup.source.put(1, 10, pts)
        await setup.tick(turns=5)
        assert [frame.pts for frame, _ in setup.sinks[1].heard] == list(range(50))
        await setup.aclose()

    asyncio.run(main())


def test_events_reach_their_legs() -> None:
    async def main() -> None:
        setup = Setup()
        setup.source.waiting = [(1, 3, 7, 160, 2_000_000_000), (9, 3, 7, 160, 0)]
        await setup.tick()
        assert setup.sinks[1].seen == [(3, 7, 160, 2.0)]
        await setup.aclose()

    asyncio.run(main())


def test_a_removed_legs_frames_are_orphans_and_its_voice_is_forgotten() -> None:
    async def main() -> None:
        setup = Setup()
        setup.reader.remove(1)
        setup.source.put(1, 10, 0)
        setup.source.put(2, 10, 0)
        await setup.tick()
        assert setup.reader.orphans == 1 and setup.detector.forgotten == [1]
        assert len(setup.sinks[2].heard) == 1 and setup.sinks[1].heard == []
        await setup.aclose()

    asyncio.run(main())


def test_a_broken_listener_or_detector_harms_no_other_leg() -> None:
    async def main() -> None:
        setup = Setup()
        setup.sinks[1].failing = True
        setup.detector.broken = True
        setup.source.put(1, 10, 0)
        setup.source.put(2, 10, 0)
        await setup.tick()
        assert setup.sinks[2].heard[0][1] == Voice(False, 0.0)
        assert setup.reader.failures == 2
        await setup.aclose()

    asyncio.run(main())
