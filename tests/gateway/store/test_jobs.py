"""The batch queue: each job is taken, run and finished once, whatever becomes of its workers."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from fakeredis import FakeServer

from gateway.errors import QueueFull, StoreLost, verdict
from gateway.store.jobs import MOST_BYTES, JobState
from tests.engines.riva.fakes import run, until
from tests.gateway.store.parts import KEYS, jobs_of, linked


def test_a_job_is_submitted_once_and_its_result_is_kept() -> None:
    async def main() -> None:
        async with linked(FakeServer()) as link:
            jobs = jobs_of(link)
            assert await jobs.submit("one", b"hello") and not await jobs.submit("one", b"other")
            view = await jobs.view("one")
            assert view is not None and (view.state, view.result) == (JobState.QUEUED, None)
            held = await jobs.next("w", lease=5.0)
            assert held is not None and (held.payload, held.attempt) == (b"hello", 1)
            assert await jobs.renew(held, "w", 0.5)
            view = await jobs.view("one")
            assert view is not None and (view.state, view.progress) == (JobState.RUNNING, 0.5)
            assert await jobs.finish(held, JobState.DONE, b"HELLO")
            view = await jobs.view("one")
            assert view is not None
            told = (view.state, view.result, view.progress, view.attempts)
            assert told == (JobState.DONE, b"HELLO", 1.0, 1)
            assert await jobs.waiting() == 0 and await jobs.view("two") is None
            assert not await jobs.submit("one", b"again")

    run(main())


def test_many_workers_share_many_jobs_and_none_is_done_twice() -> None:
    async def main() -> None:
        done: Counter[str] = Counter()

        async with linked(FakeServer()) as link:
            jobs = jobs_of(link)
            for number in range(40):
                await jobs.submit(f"job-{number}", b"")

            async def work(name: str) -> None:
                while (held := await jobs.next(name, lease=5.0)) is not None:
                    done[held.job_id] += 1
                    assert await jobs.finish(held, JobState.DONE, b"")

            await asyncio.gather(*(work(f"w{number}") for number in range(4)))
            assert done == Counter({f"job-{number}": 1 for number in range(40)})

    run(main())


def test_an_abandoned_job_goes_to_another_worker_and_the_first_result_wins() -> None:
    async def main() -> None:
        async with linked(FakeServer()) as link:
            jobs = jobs_of(link)
            await jobs.submit("one", b"x")
            slow = await jobs.next("slow", lease=5.0)
            assert slow is not None and slow.attempt == 1
            await asyncio.sleep(0.05)
            assert await jobs.next("quick", lease=5.0) is None
            quick = await jobs.next("quick", lease=0.04)
            assert quick is not None and quick.attempt == 2
            assert not await jobs.renew(slow, "slow", 0.9)
            assert await jobs.renew(quick, "quick", 0.5)
            assert await jobs.finish(slow, JobState.DONE, b"of slow")
            assert not await jobs.finish(quick, JobState.DONE, b"of quick")
            view = await jobs.view("one")
            assert view is not None and view.result == b"of slow"
            assert await link.call(lambda client: client.xlen(KEYS.finished)) == 1
            assert await jobs.next("third", lease=0.0) is None

    run(main())


def test_bounds_and_bad_input() -> None:
    async def main() -> None:
        async with linked(FakeServer()) as link:
            jobs = jobs_of(link, most=1)
            await jobs.submit("one", b"")
            with pytest.raises(QueueFull) as full:
                await jobs.submit("two", b"")
            assert verdict(full.value).http_status == 503 and full.value.retry_after
            with pytest.raises(ValueError, match="job id"):
                await jobs.submit("a b", b"")
            with pytest.raises(ValueError, match="payload"):
                await jobs.submit("big", bytes(MOST_BYTES + 1))

    run(main())


def test_a_lost_redis_refuses_submitters() -> None:
    async def main() -> None:
        server = FakeServer()
        async with linked(server) as link:
            jobs = jobs_of(link)
            server.connected = False
            await until(lambda: not link.up)
            with pytest.raises(StoreLost) as lost:
                await jobs.submit("two", b"")
            assert verdict(lost.value).http_status == 503 and lost.value.retry_after

    run(main())
