"""The batch queue: each job is taken, run and finished once, whatever becomes of its workers."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from fakeredis import FakeServer

from gateway.errors import QueueFull, StoreLost, verdict
from gateway.store.job_worker import JobRefused, JobWorker, Report
from gateway.store.jobs import MOST_BYTES, Held, JobState
from tests.engines.riva.fakes import run, until
from tests.gateway.store.parts import KEYS, jobs_of, linked


async def upper(held: Held, report: Report) -> bytes:
    report(0.5)
    return held.payload.upper()


def test_a_job_is_submitted_once_and_its_result_is_kept() -> None:
    async def main() -> None:
        async with linked(FakeServer()) as link:
            jobs = jobs_of(link)
            assert await jobs.submit("one", b"hello") and not await jobs.submit("one", b"other")
            view = await jobs.view("one")
            assert view is not None and (view.state, view.result) == (JobState.QUEUED, None)
            worker = JobWorker(jobs, "w", upper, lease=5.0, attempts=3)
            worker.start()
            await until(lambda: worker.counts["done"] == 1)
            await worker.aclose()
            view = await jobs.view("one")
            assert view is not None
            assert (view.state, view.result, view.progress, view.attempts) == (
                JobState.DONE,
                b"HELLO",
                1.0,
                1,
            )
            assert await jobs.waiting() == 0 and await jobs.view("two") is None
            assert not await jobs.submit("one", b"again")

    run(main())


def test_many_workers_share_many_jobs_and_none_is_done_twice() -> None:
    async def main() -> None:
        done: Counter[str] = Counter()

        async def count(held: Held, report: Report) -> bytes:
            await asyncio.sleep(0.001)
            done[held.job_id] += 1
            return b""

        async with linked(FakeServer()) as link:
            jobs = jobs_of(link)
            for number in range(40):
                await jobs.submit(f"job-{number}", b"")
            workers = [JobWorker(jobs, f"w{n}", count, lease=5.0, attempts=3) for n in range(4)]
            for worker in workers:
                worker.start()
            await until(lambda: sum(worker.counts["done"] for worker in workers) == 40)
            for worker in workers:
                await worker.aclose()
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
            assert not await jobs.again(slow, "slow")
            assert await jobs.renew(quick, "quick", 0.5)
            assert await jobs.finish(slow, JobState.DONE, b"of slow")
            assert not await jobs.finish(quick, JobState.DONE, b"of quick")
            view = await jobs.view("one")
            assert view is not None and view.result == b"of slow"
            assert await link.call(lambda client: client.xlen(KEYS.finished)) == 1
            assert await jobs.next("third", lease=0.0) is None

    run(main())


def test_a_renewed_lease_is_not_taken_over_and_shows_progress() -> None:
    async def main() -> None:
        async def slow(held: Held, report: Report) -> bytes:
            report(0.25)
            await asyncio.sleep(0.5)
            return b"done"

        async with linked(FakeServer()) as link:
            jobs = jobs_of(link)
            await jobs.submit("one", b"")
            first = JobWorker(jobs, "first", slow, lease=0.3, attempts=3)
            first.start()
            await asyncio.sleep(0.1)
            other = JobWorker(jobs, "other", slow, lease=0.3, attempts=3)
            other.start()
            await until(lambda: first.counts["done"] == 1)
            view = await jobs.view("one")
            assert view is not None and view.attempts == 1
            await first.aclose()
            await other.aclose()
            assert other.counts == Counter()

    run(main())


def test_a_worker_that_lost_its_lease_lets_go() -> None:
    async def main() -> None:
        async def endless(held: Held, report: Report) -> bytes:
            await asyncio.sleep(60)
            return b""

        async with linked(FakeServer()) as link:
            jobs = jobs_of(link)
            await jobs.submit("one", b"")
            worker = JobWorker(jobs, "w", endless, lease=0.3, attempts=3)
            worker.start()
            await until(lambda: bool(worker._task))
            await asyncio.sleep(0.05)
            taken = await jobs.next("thief", lease=0.0)
            assert taken is not None
            await until(lambda: worker.counts["taken_over"] == 1)
            await worker.aclose()

    run(main())


def test_errors_are_tried_again_and_then_told() -> None:
    async def main() -> None:
        seen: list[int] = []

        async def breaking(held: Held, report: Report) -> bytes:
            seen.append(held.attempt)
            if held.payload == b"refuse":
                raise JobRefused("the file holds no sound")
            if held.payload == b"long":
                return bytes(MOST_BYTES + 1)
            raise RuntimeError("speech of a caller must not show")

        async with linked(FakeServer()) as link:
            jobs = jobs_of(link)
            worker = JobWorker(jobs, "w", breaking, lease=5.0, attempts=3)
            worker.start()
            for name in ("break", "refuse", "long"):
                await jobs.submit(name, name.encode())
            await until(lambda: worker.counts["failed"] == 3)
            await worker.aclose()
            views = [await jobs.view(name) for name in ("break", "refuse", "long")]
            assert [view.result for view in views if view] == [
                b"it broke: RuntimeError",
                b"the file holds no sound",
                f"the result is longer than {MOST_BYTES} octets".encode(),
            ]
            assert sorted(seen) == [1, 1, 1, 2, 3]

    run(main())


def test_a_job_that_kills_its_workers_is_given_up() -> None:
    async def main() -> None:
        async with linked(FakeServer()) as link:
            jobs = jobs_of(link)
            await jobs.submit("poison", b"")
            for attempt in (1, 2):
                held = await jobs.next(f"dead-{attempt}", lease=0.0)
                assert held is not None and held.attempt == attempt
            worker = JobWorker(jobs, "w", upper, lease=0.01, attempts=2)
            worker.start()
            await until(lambda: worker.counts["failed"] == 1)
            await worker.aclose()
            view = await jobs.view("poison")
            assert view is not None and view.result == b"2 workers broke on it"

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


def test_a_lost_redis_refuses_submitters_and_keeps_what_a_worker_made() -> None:
    async def main() -> None:
        server, go = FakeServer(), asyncio.Event()

        async def wait(held: Held, report: Report) -> bytes:
            await go.wait()
            return b"kept"

        async with linked(server) as link:
            jobs = jobs_of(link)
            await jobs.submit("one", b"")
            worker = JobWorker(jobs, "w", wait, lease=5.0, attempts=3)
            worker.start()
            await asyncio.sleep(0.1)
            server.connected = False
            await until(lambda: not link.up)
            with pytest.raises(StoreLost) as lost:
                await jobs.submit("two", b"")
            assert verdict(lost.value).http_status == 503 and lost.value.retry_after
            go.set()
            await asyncio.sleep(0.1)
            server.connected = True
            await until(lambda: worker.counts["done"] == 1)
            view = await jobs.view("one")
            assert view is not None and view.result == b"kept"
            await worker.aclose()

    run(main())
