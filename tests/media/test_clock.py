from __future__ import annotations

import asyncio

import pytest

from media.clock import now


def test_now_is_the_loops_time() -> None:
    async def read() -> tuple[float, float, float]:
        loop = asyncio.get_running_loop()
        return loop.time(), now(), loop.time()

    before, read_now, after = asyncio.run(read())
    assert before <= read_now <= after


def test_there_is_no_time_outside_a_loop() -> None:
    with pytest.raises(RuntimeError):
        now()
