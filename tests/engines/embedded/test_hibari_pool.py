from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from engines.base import EngineBusy, EngineFailed
from engines.embedded.hibari_pool import SynthesisPool


class Gate:
    """A job that holds its thread until it is opened, and writes down the order in which jobs ran."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.running = threading.Event()
        self.order: list[str] = []

    def hold(self) -> None:
        self.running.set()
        self.opened.wait(5)

    def job(self, name: str) -> Callable[[], str]:
        def run() -> str:
            self.order.append(name)
            return name

        return run


def with_pool(test: Callable[[SynthesisPool, Gate], Coroutine[Any, Any, None]], waiting: int = 4) -> None:
    async def main() -> None:
        pool, gate = SynthesisPool(1, waiting, 0), Gate()
        holder = asyncio.create_task(pool.run(gate.hold, 0.0, refusable=True))
        await asyncio.to_thread(gate.running.wait, 5)
        try:
            await test(pool, gate)
        finally:
            gate.opened.set()
            await holder
            await asyncio.to_thread(pool.close)

    asyncio.run(main())


async def submit(pool: SynthesisPool, gate: Gate, *jobs: tuple[str, float]) -> list[asyncio.Task[str]]:
    tasks = [asyncio.create_task(pool.run(gate.job(n), due, refusable=True)) for n, due in jobs]
    await asyncio.sleep(0)
    assert pool.waiting == len(jobs)
    return tasks


def test_who_would_fall_silent_first_is_served_first_and_equals_in_turn() -> None:
    async def test(pool: SynthesisPool, gate: Gate) -> None:
        tasks = await submit(pool, gate, ("later", 9.0), ("first", 1.0), ("second", 1.0), ("soon", 0.5))
        gate.opened.set()
        assert await asyncio.gather(*tasks) == ["later", "first", "second", "soon"]
        assert gate.order == ["soon", "first", "second", "later"]

    with_pool(test)


def test_a_cancelled_job_never_runs_and_frees_its_place() -> None:
    async def test(pool: SynthesisPool, gate: Gate) -> None:
        gone, stays = await submit(pool, gate, ("gone", 1.0), ("stays", 2.0))
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert gone.cancelled() and pool.waiting == 1
        gate.opened.set()
        await stays
        assert gate.order == ["stays"]

    with_pool(test)


def test_a_full_queue_refuses_beginnings_but_not_continuations() -> None:
    async def test(pool: SynthesisPool, gate: Gate) -> None:
        await submit(pool, gate, ("a", 1.0), ("b", 1.0))
        with pytest.raises(EngineBusy, match="2 passages wait"):
            await pool.run(gate.job("c"), 1.0, refusable=True)
        more = asyncio.create_task(pool.run(gate.job("d"), 0.0, refusable=False))
        gate.opened.set()
        assert await more == "d"

    with_pool(test, waiting=2)


def test_who_is_due_sooner_finds_room_before_those_who_can_wait() -> None:
    async def test(pool: SynthesisPool, gate: Gate) -> None:
        waiting = await submit(pool, gate, *((f"late {n}", 9.0 - n / 10) for n in range(15)))
        urgent = asyncio.create_task(pool.run(gate.job("urgent"), 0.0, refusable=True))
        await asyncio.sleep(0)
        with pytest.raises(EngineBusy, match="16 passages wait"):
            await pool.run(gate.job("one too many"), 0.0, refusable=True)
        gate.opened.set()
        assert await urgent == "urgent"
        await asyncio.gather(*waiting)

    with_pool(test, waiting=2)


def test_a_failing_job_fails_its_caller_only() -> None:
    def fail() -> None:
        raise ZeroDivisionError("no")

    async def test(pool: SynthesisPool, gate: Gate) -> None:
        gate.opened.set()
        with pytest.raises(ZeroDivisionError):
            await pool.run(fail, 0.0, refusable=True)
        assert await pool.run(gate.job("next"), 0.0, refusable=True) == "next"

    with_pool(test)


def test_closing_fails_what_waits_and_what_comes_later() -> None:
    async def test(pool: SynthesisPool, gate: Gate) -> None:
        (task,) = await submit(pool, gate, ("waits", 1.0))
        closing = asyncio.create_task(asyncio.to_thread(pool.close))
        with pytest.raises(EngineFailed):
            await task
        gate.opened.set()
        await closing
        with pytest.raises(EngineFailed, match="closed"):
            await pool.run(gate.job("late"), 0.0, refusable=True)
        assert gate.order == []

    with_pool(test)
