"""The shared queue over a fake Redis: jobs cross nodes, and outlive them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from fakeredis import FakeServer

from gateway.batch.job import Callback, Job, JobState, Progress
from gateway.batch.store_queue import StoreQueue
from tests.gateway.store.parts import jobs_of, linked

T = TypeVar("T")
JOB = Job(
    "job-1",
    "offhook",
    "en-US",
    owner="key-1",
    url="https://a.example/",
    callback=Callback("https://b.example/"),
)
DONE = Progress(JobState.DONE, "key-1", 12.0, 12.0, {"text": "hello"}, "delivered")


def run(work: Callable[[StoreQueue, StoreQueue], Awaitable[T]]) -> T:
    """With two nodes of one Redis."""

    async def main() -> T:
        server = FakeServer()
        async with linked(server) as one, linked(server) as two, asyncio.timeout(20):
            left, right = StoreQueue(jobs_of(one), "n1", lease=0.6), StoreQueue(jobs_of(two), "n2", lease=0.6)
            try:
                return await work(left, right)
            finally:
                await left.aclose()
                await right.aclose()

    return asyncio.run(main())


def test_a_job_is_put_on_one_node_and_done_by_the_other() -> None:
    async def work(left: StoreQueue, right: StoreQueue) -> None:
        await left.put(JOB)
        waiting = await right.look("job-1", "key-1")
        assert waiting is not None and waiting.state is JobState.WAITING
        assert await right.take() == JOB
        await right.tell("job-1", DONE)
        await right.settle("job-1")
        assert await left.look("job-1", "key-1") == DONE

    run(work)


def test_nobody_else_can_see_it() -> None:
    async def work(left: StoreQueue, right: StoreQueue) -> None:
        await left.put(JOB)
        assert await right.look("job-1", "key-2") is None
        assert await right.look("job-1", "") is None
        assert await right.look("no such id", "key-1") is None

    run(work)


def test_a_node_that_is_gone_loses_its_job_to_another() -> None:
    async def work(left: StoreQueue, right: StoreQueue) -> None:
        await left.put(JOB)
        assert await left.take() == JOB
        await left.aclose()
        assert await right.take() == JOB
        await right.tell("job-1", DONE)
        await right.settle("job-1")
        assert await right.look("job-1", "key-1") == DONE

    run(work)


def test_a_node_that_works_keeps_its_job() -> None:
    async def work(left: StoreQueue, right: StoreQueue) -> None:
        await left.put(JOB)
        await left.take()
        await left.tell("job-1", Progress(JobState.RUNNING, "key-1", 6.0, 12.0))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.0):
                await right.take()
        seen = await right.look("job-1", "key-1")
        assert seen is not None and (seen.state, seen.heard_seconds) == (JobState.RUNNING, 6.0)

    run(work)


def test_a_job_that_breaks_every_node_is_given_up() -> None:
    async def work(left: StoreQueue, right: StoreQueue) -> None:
        await left.put(JOB)
        for _ in range(3):
            await left.take()
            await left.aclose()
        taking = asyncio.ensure_future(right.take())
        for _ in range(200):
            await asyncio.sleep(0.02)
            found = await right.look("job-1", "key-1")
            if found is not None and found.over:
                break
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        assert found is not None and found.state is JobState.FAILED
        assert found.body is not None and "broke every node" in found.body["error"]

    run(work)


def test_a_result_waits_for_a_redis_that_is_gone() -> None:
    async def main() -> None:
        server = FakeServer()
        async with linked(server) as link, asyncio.timeout(20):
            queue = StoreQueue(jobs_of(link), "n1", lease=5.0)
            await queue.put(JOB)
            await queue.take()
            await queue.tell("job-1", DONE)
            server.connected = False
            settling = asyncio.ensure_future(queue.settle("job-1"))
            await asyncio.sleep(0.3)
            assert not settling.done()
            server.connected = True
            await settling
            assert await queue.look("job-1", "key-1") == DONE
            await queue.aclose()

    asyncio.run(main())
