from __future__ import annotations

import asyncio
import time

import pytest

from tests.virtual_time import Deadlock, run_virtual


def test_an_hour_passes_at_once_and_in_order() -> None:
    async def main() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        seen: list[tuple[str, float]] = []

        async def ring(name: str, after: float) -> None:
            await asyncio.sleep(after)
            seen.append((name, loop.time()))

        await asyncio.gather(ring("late", 3600.0), ring("early", 0.02), ring("middle", 1.0))
        return seen

    began = time.perf_counter()
    seen = run_virtual(main())
    assert [name for name, _ in seen] == ["early", "middle", "late"]
    assert [at for _, at in seen] == pytest.approx([0.02, 1.0, 3600.0])
    assert time.perf_counter() - began < 1.0


def test_what_can_run_now_runs_before_the_clock_moves() -> None:
    async def main() -> tuple[float, int]:
        loop = asyncio.get_running_loop()
        steps = 0
        for _ in range(100):
            await asyncio.sleep(0)
            steps += 1
        return loop.time(), steps

    assert run_virtual(main()) == (0.0, 100)


def test_a_wait_without_end_fails_instead_of_hanging() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run_virtual(main())


def test_deadlines_run_in_virtual_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30.0):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(30.0)
