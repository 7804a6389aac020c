"""One worker of the batch queue: takes a job, keeps its lease, publishes its result once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog

from engines.redis_client import cancelled
from gateway.errors import StoreLost
from gateway.store.jobs import MOST_BYTES, Held, Jobs, JobState

log = structlog.get_logger(__name__)

Report: TypeAlias = Callable[[float], None]
"""Tells how far a job is, 0 to 1."""
Work: TypeAlias = Callable[[Held, Report], Awaitable[bytes]]
"""Does a job. Raises `JobRefused` when no other try can help; anything else is tried again."""

_LOST_SECONDS = 0.5
"""Between two looks at a Redis that is gone."""


class JobRefused(Exception):
    """The job itself is at fault; the text becomes its result."""


class JobWorker:
    """Runs one job at a time, from `start` to `aclose`."""

    def __init__(self, jobs: Jobs, name: str, work: Work, *, lease: float, attempts: int) -> None:
        """`name`: unique among all. `lease`: seconds. `attempts`: workers that may break on one job."""
        self._jobs, self._name, self._work = jobs, name, work
        self._lease, self._attempts = lease, attempts
        self._task: asyncio.Task[None] | None = None
        self._progress = 0.0
        self.counts: Counter[str] = Counter()
        """Jobs `done`, `failed`, `retried`, `taken_over` (by another worker), `dropped` (had a result)."""

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"jobs-{self._name}")

    async def aclose(self) -> None:
        """Stop; the job in hand goes to another worker when its lease is over. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while not cancelled():
            try:
                held = await self._jobs.next(self._name, self._lease)
            except StoreLost:
                await asyncio.sleep(_LOST_SECONDS)
                continue
            if held is not None:
                await self._do(held)

    async def _do(self, held: Held) -> None:
        if held.attempt > self._attempts:
            why = f"{held.attempt - 1} workers broke on it"
            log.error("a job was given up", job=held.job_id, why=why)
            await self._publish(held, JobState.FAILED, why.encode())
            return
        self._progress = 0.0
        working = asyncio.ensure_future(self._work(held, self._report))
        keeping = asyncio.ensure_future(self._keep(held))
        try:
            await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                await self._conclude(held, working)
            else:
                self.counts["taken_over"] += 1
                log.warning("a job is another worker's by now", job=held.job_id)
        finally:
            for task in (working, keeping):
                task.cancel()
            await asyncio.gather(working, keeping, return_exceptions=True)

    def _report(self, progress: float) -> None:
        self._progress = min(max(progress, 0.0), 1.0)

    async def _keep(self, held: Held) -> None:
        """Renew the lease; ends when it is lost."""
        while not cancelled():
            await asyncio.sleep(self._lease / 3)
            try:
                if not await self._jobs.renew(held, self._name, self._progress):
                    return
            except StoreLost:
                continue  # the work goes on: its result decides

    async def _conclude(self, held: Held, working: asyncio.Future[bytes]) -> None:
        error = working.exception()
        if error is None and len(working.result()) > MOST_BYTES:
            error = JobRefused(f"the result is longer than {MOST_BYTES} octets")
        if error is None:
            await self._publish(held, JobState.DONE, working.result())
        elif isinstance(error, JobRefused) or held.attempt >= self._attempts:
            log.warning("a job failed", job=held.job_id, why=type(error).__name__, attempt=held.attempt)
            told = str(error) if isinstance(error, JobRefused) else f"it broke: {type(error).__name__}"
            await self._publish(held, JobState.FAILED, told.encode())
        else:
            self.counts["retried"] += 1
            log.warning(
                "a job is tried again", job=held.job_id, why=type(error).__name__, attempt=held.attempt
            )
            await self._insist(lambda: self._jobs.again(held, self._name))

    async def _publish(self, held: Held, state: JobState, result: bytes) -> None:
        won = await self._insist(lambda: self._jobs.finish(held, state, result))
        self.counts[state.value if won else "dropped"] += 1

    async def _insist(self, ask: Callable[[], Awaitable[bool]]) -> bool:
        """Until Redis takes it: the work is done, and doing it again would cost more than waiting."""
        while True:
            try:
                return await ask()
            except StoreLost:
                await asyncio.sleep(_LOST_SECONDS)
