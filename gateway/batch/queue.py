"""Where jobs wait. One protocol, so that several nodes can share a queue; in one node's memory by default."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import Protocol

from gateway.batch.job import Job, JobState, Progress
from gateway.errors import DecodersBusy

_RETRY_SECONDS = 30


class JobQueue(Protocol):
    """Jobs in order. A job that was taken is its taker's until `settle`, or until the taker is gone.

    A queue outside this process gives a job that was taken but never settled to somebody else. So a job may
    run twice, and its callback, which carries the job's id, may come twice: receivers know it by the id.
    """

    @property
    def lasting(self) -> bool:
        """Jobs outlive this process."""

    async def put(self, job: Job) -> None:
        """Add a job. Raises `DecodersBusy` when too many wait."""

    async def take(self) -> Job:
        """The next job, when there is one."""

    async def tell(self, job_id: str, progress: Progress) -> None:
        """How far it is; also says that its taker is alive."""

    async def settle(self, job_id: str) -> None:
        """All is done, the callback too: nobody must run it again."""

    async def look(self, job_id: str, owner: str) -> Progress | None:
        """How far it is; None: not known (any more), or another's."""

    async def aclose(self) -> None:
        """Give everything back."""


class MemoryQueue:
    """A `JobQueue` that ends with the process: jobs that wait then are lost, and their files removed."""

    lasting = False

    def __init__(self, *, waiting: int, kept: int) -> None:
        self._most = waiting
        self._kept = kept
        self._jobs: deque[Job] = deque()
        self._there = asyncio.Event()
        self._progress: OrderedDict[str, Progress] = OrderedDict()
        self._settled: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        """Jobs that wait."""
        return len(self._jobs)

    async def put(self, job: Job) -> None:
        """See `JobQueue.put`."""
        if len(self._jobs) >= self._most:
            told = f"{len(self._jobs)} recordings already wait; try again later"
            raise DecodersBusy(told, retry_after=_RETRY_SECONDS)
        self._jobs.append(job)
        self._progress[job.job_id] = Progress(JobState.WAITING, job.owner)
        self._there.set()

    async def take(self) -> Job:
        """See `JobQueue.take`."""
        while not self._jobs:
            self._there.clear()
            await self._there.wait()
        return self._jobs.popleft()

    async def tell(self, job_id: str, progress: Progress) -> None:
        """See `JobQueue.tell`."""
        if job_id in self._progress:
            self._progress[job_id] = progress

    async def settle(self, job_id: str) -> None:
        """See `JobQueue.settle`."""
        self._settled[job_id] = None
        while len(self._settled) > self._kept:
            oldest, _ = self._settled.popitem(last=False)
            self._progress.pop(oldest, None)

    async def look(self, job_id: str, owner: str) -> Progress | None:
        """See `JobQueue.look`."""
        progress = self._progress.get(job_id)
        return progress if progress is not None and progress.owner == owner else None

    async def aclose(self) -> None:
        """See `JobQueue.aclose`."""
        while self._jobs:
            self._jobs.popleft().discard()
