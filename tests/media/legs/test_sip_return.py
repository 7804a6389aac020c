"""After a transfer that failed: who is waited for, asked once more, and given up. In virtual time."""

from __future__ import annotations

import asyncio

import pytest

from media.legs.base import LegError
from media.legs.sip_return import Return
from tests.virtual_time import run_virtual


class Bench:
    def __init__(self, seconds: float = 5.0) -> None:
        self.story: list[tuple[str, float]] = []
        self.refuses = 0
        self.watch = Return(seconds, self._offer, lambda reason: self._tell(reason))

    async def _offer(self) -> None:
        self._tell("asked")
        if self.refuses:
            raise LegError("the far end refused", sip_code=self.refuses)

    def _tell(self, what: str) -> None:
        self.story.append((what, round(asyncio.get_running_loop().time(), 3)))


@pytest.mark.parametrize(
    ("refuses", "end"),
    [(0, ("media_lost", 5.0)), (488, ("media_lost", 5.0)), (481, ("signalling_lost", 2.5))],
)
def test_who_is_not_heard_again_is_asked_and_given_up(refuses: int, end: tuple[str, float]) -> None:
    async def main() -> None:
        bench = Bench()
        bench.refuses = refuses
        bench.watch.heard()
        bench.watch.expect()
        await asyncio.sleep(60.0)
        assert bench.story == [("asked", 2.5), end]

    run_virtual(main())


def hears(bench: Bench, first: float, last: float) -> None:
    """A packet each 20 ms between these moments."""
    loop = asyncio.get_running_loop()
    for tick in range(round(first * 50), round(last * 50)):
        loop.call_at(tick / 50, bench.watch.heard)


@pytest.mark.parametrize(
    ("first", "last", "story"),
    [
        (1.0, 20.0, []),
        (3.0, 20.0, [("asked", 2.5)]),
        (0.0, 0.2, [("asked", 2.5), ("media_lost", 5.0)]),  # what was under way
        (0.0, 2.4, [("media_lost", 5.0)]),
    ],
)
def test_who_is_heard_again_stays(first: float, last: float, story: list[tuple[str, float]]) -> None:
    async def main() -> None:
        bench = Bench()
        bench.watch.heard()
        bench.watch.expect()
        hears(bench, first, last)
        await asyncio.sleep(60.0)
        assert bench.story == story

    run_virtual(main())


def test_a_second_failure_begins_anew() -> None:
    async def main() -> None:
        bench = Bench()
        bench.watch.heard()
        bench.watch.expect()
        await asyncio.sleep(2.0)
        bench.watch.expect()
        await asyncio.sleep(60.0)
        assert bench.story == [("asked", 4.5), ("media_lost", 7.0)]

    run_virtual(main())


def test_who_was_silent_before_and_a_wait_of_nothing_end_no_call() -> None:
    async def main() -> None:
        silent, off, held = Bench(), Bench(0.0), Bench()
        silent.watch.expect()
        for bench in (off, held):
            bench.watch.heard()
            bench.watch.expect()
        held.watch.close()
        await asyncio.sleep(60.0)
        assert silent.story == off.story == held.story == []
        silent.watch.heard()
        await asyncio.sleep(11.0)
        silent.watch.expect()
        await asyncio.sleep(60.0)
        assert silent.story == []

    run_virtual(main())
