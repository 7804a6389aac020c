"""One call's stream: order, one reader, errors, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import numpy as np
import pytest

from engines.base import AsrOptions, EngineBusy, EngineFailed, Transcript
from engines.embedded.decode_pool import Priority
from engines.embedded.moonshine_interim import InterimSettings
from engines.embedded.moonshine_segment import PieceSettings, Workshop
from engines.embedded.moonshine_stream import MoonshineStream
from media.frame import AudioFrame
from tests.fakes.decodes import HeldPool, TellingEar


class Bench:
    """A stream between a pool and an ear that the test holds."""

    def __init__(self, *answers: str, interim: bool = False) -> None:
        self.pool = HeldPool()
        self.ear = TellingEar(list(answers))
        self.counts: Counter[str] = Counter()
        self.closed: list[MoonshineStream] = []
        shop = Workshop(self.pool, self.ear, self.counts, InterimSettings(), PieceSettings())
        self.stream = MoonshineStream(shop, AsrOptions(interim=interim), None, self.closed.append)

    def push(self, seconds: float) -> None:
        for place in range(round(seconds * 50)):
            self.stream.push(AudioFrame(np.full(160, 5000, np.int16), 8000, place * 160, 0.0))

    def segment(self, number: int, seconds: float = 1.0) -> None:
        self.stream.start(number)
        self.push(seconds)
        self.stream.end()


async def take(results: AsyncIterator[Transcript], count: int) -> list[Transcript]:
    async with asyncio.timeout(1.0):
        return [await anext(results) for _ in range(count)]


def test_finals_come_in_the_order_of_their_segments() -> None:
    async def main() -> None:
        bench = Bench("second", "first")
        bench.segment(1)
        bench.segment(2)
        bench.pool.run_one(1)
        assert bench.stream.unread == 0
        bench.pool.run()
        finals = await take(bench.stream.results(), 2)
        assert [(t.segment, t.text) for t in finals] == [(1, "first"), (2, "second")]

    asyncio.run(main())


def test_sound_far_ahead_of_the_clock_waits_for_those_who_speak_live() -> None:
    async def main() -> None:
        bench = Bench()
        bench.segment(1, 25.0)
        assert set(bench.pool.waiting) == {Priority.FINAL}
        bench.segment(2, 25.0)
        assert bench.pool.waiting[-1] is Priority.BACKGROUND

    asyncio.run(main())


def test_start_ends_a_segment_that_was_left_open() -> None:
    async def main() -> None:
        bench = Bench("one", "two")
        bench.stream.start(1)
        bench.push(1.0)
        bench.segment(2)
        bench.pool.run()
        assert [t.segment for t in await take(bench.stream.results(), 2)] == [1, 2]

    asyncio.run(main())


def test_a_cancelled_segment_says_nothing_and_lets_the_next_speak() -> None:
    async def main() -> None:
        bench = Bench("two")
        bench.stream.start(1)
        bench.push(1.0)
        bench.stream.pause()
        bench.stream.cancel()
        bench.segment(2)
        bench.pool.run()
        assert [(t.segment, t.text) for t in await take(bench.stream.results(), 1)] == [(2, "two")]
        assert bench.stream.unread == 0

    asyncio.run(main())


def test_a_slow_reader_finds_only_the_newest() -> None:
    async def main() -> None:
        bench = Bench(interim=True)
        bench.stream.start(1)
        for _ in range(10):
            bench.push(1.0)
            bench.pool.run()
        assert bench.stream.unread == 1
        results = bench.stream.results()
        assert [t.text for t in await take(results, 1)] == ["1 2 3 4 5 6 7 8"]
        bench.push(1.0)
        bench.pool.run()
        bench.stream.end()
        bench.pool.run()
        assert [t.is_final for t in await take(results, bench.stream.unread)] == [True]

    asyncio.run(main())


def test_a_broken_final_is_raised_and_the_stream_goes_on() -> None:
    async def main() -> None:
        bench = Bench("two")
        bench.ear.breaks = True
        bench.segment(1)
        bench.pool.run()
        with pytest.raises(EngineFailed):
            await anext(bench.stream.results())
        bench.ear.breaks = False
        bench.segment(2)
        bench.pool.run()
        assert [t.text for t in await take(bench.stream.results(), 1)] == ["two"]

    asyncio.run(main())


def test_one_reader_only() -> None:
    async def main() -> None:
        bench = Bench("one")
        bench.segment(1)
        bench.pool.run()
        first = bench.stream.results()
        await take(first, 1)
        with pytest.raises(RuntimeError, match="one reader"):
            await anext(bench.stream.results())

    asyncio.run(main())


def test_closing_ends_the_results_and_frees_the_jobs() -> None:
    async def main() -> None:
        bench = Bench()
        bench.segment(1)
        bench.stream.start(2)
        bench.push(1.0)
        reader = asyncio.ensure_future(anext(bench.stream.results(), None))
        await asyncio.sleep(0)
        await bench.stream.aclose()
        await bench.stream.aclose()
        assert await asyncio.wait_for(reader, 1.0) is None
        assert bench.pool.waiting == []
        assert bench.closed == [bench.stream]
        bench.stream.start(3)
        bench.push(1.0)
        bench.stream.end()
        assert bench.pool.waiting == []

    asyncio.run(main())


def test_a_stream_that_is_hopelessly_behind_refuses_more() -> None:
    async def main() -> None:
        bench = Bench()
        for number in range(17):
            bench.segment(number, 0.1)
        assert len(bench.pool.waiting) == 16
        with pytest.raises(EngineBusy):
            await anext(bench.stream.results())
        bench.pool.run()
        assert [t.segment for t in await take(bench.stream.results(), 16)] == list(range(16))

    asyncio.run(main())


def test_frames_without_a_segment_are_counted_and_those_of_another_rate_refused() -> None:
    bench = Bench()
    bench.push(0.1)
    assert bench.counts["frames_without_segment"] == 5
    with pytest.raises(ValueError, match="16000"):
        bench.stream.push(AudioFrame(np.zeros(320, np.int16), 16000, 0, 0.0))
