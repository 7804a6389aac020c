"""The queue that nodes share, on Redis: a job of a node that is gone goes to another."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass

import structlog

from engines.redis_client import cancelled
from gateway.batch.job import Job, JobState, Progress
from gateway.errors import DecodersBusy, QueueFull, StoreLost
from gateway.store.jobs import Held, Jobs
from gateway.store.jobs import JobState as StoredState

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 30
_LOST_SECONDS = 0.5
"""Between two looks at a Redis that is gone."""
_LEASE_SECONDS = 30.0
"""A node that is silent for so long about a job has lost it to another."""
_STATES = {
    StoredState.QUEUED: JobState.WAITING,
    StoredState.RUNNING: JobState.RUNNING,
    StoredState.DONE: JobState.DONE,
    StoredState.FAILED: JobState.FAILED,
}


@dataclass(slots=True)
class _Running:
    held: Held
    progress: Progress
    renewing: asyncio.Task[None]


class StoreQueue:
    """A `JobQueue` for all nodes of one Redis; they must share `audio.spool_dir`, where jobs' files lie."""

    lasting = True

    def __init__(self, jobs: Jobs, node: str, *, lease: float = _LEASE_SECONDS, attempts: int = 3) -> None:
        """`node`: unique among all. `lease`: seconds. `attempts`: nodes that may break on one job."""
        self._jobs = jobs
        self._node = node
        self._lease = lease
        self._attempts = attempts
        self._running: dict[str, _Running] = {}

    async def put(self, job: Job) -> None:
        """See `JobQueue.put`. Raises `StoreLost` too."""
        try:
            await self._jobs.submit(_stored_id(job.job_id, job.owner), job.text().encode())
        except QueueFull as error:
            raise DecodersBusy(str(error), retry_after=_RETRY_SECONDS) from error

    async def take(self) -> Job:
        """See `JobQueue.take`. Waits while Redis is gone."""
        while not cancelled():
            try:
                held = await self._jobs.next(self._node, self._lease)
                if held is None:
                    continue
                job = Job.read(held.payload.decode())
                if held.attempt > self._attempts:
                    told = {
                        "job_id": job.job_id,
                        "status": "failed",
                        "error": "the job broke every node that took it",
                    }
                    await self._finish(held, Progress(JobState.FAILED, job.owner, body=told))
                    job.discard()
                    continue
            except StoreLost:
                await asyncio.sleep(_LOST_SECONDS)
                continue
            renewing = asyncio.get_running_loop().create_task(self._renew(job.job_id, held))
            self._running[job.job_id] = _Running(held, Progress(JobState.RUNNING, job.owner), renewing)
            return job
        raise asyncio.CancelledError

    async def tell(self, job_id: str, progress: Progress) -> None:
        """See `JobQueue.tell`. The next renewal of the lease carries it."""
        if running := self._running.get(job_id):
            running.progress = progress

    async def settle(self, job_id: str) -> None:
        """See `JobQueue.settle`. A Redis that is gone is waited for: the result must not be lost."""
        running = self._running.pop(job_id, None)
        if running is None:
            return
        try:
            while not cancelled():
                try:
                    if not await self._finish(running.held, running.progress):
                        log.warning("another node had finished the job already", job=job_id)
                    return
                except StoreLost:
                    await asyncio.sleep(_LOST_SECONDS)
        finally:
            running.renewing.cancel()

    async def look(self, job_id: str, owner: str) -> Progress | None:
        """See `JobQueue.look`. Raises `StoreLost`."""
        with suppress(ValueError):
            view = await self._jobs.view(_stored_id(job_id, owner))
            if view is None:
                return None
            if view.state in (StoredState.DONE, StoredState.FAILED) and view.result:
                fields = json.loads(view.result)
                return Progress(**{**fields, "state": JobState(fields["state"])})
            return Progress(_STATES[view.state], owner, view.progress)
        return None

    async def aclose(self) -> None:
        """See `JobQueue.aclose`. What runs here goes to another node once its lease is over."""
        for running in self._running.values():
            running.renewing.cancel()
        tasks = [running.renewing for running in self._running.values()]
        self._running.clear()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _renew(self, job_id: str, held: Held) -> None:
        while not cancelled():
            await asyncio.sleep(self._lease / 3)
            progress = self._running[job_id].progress
            with suppress(StoreLost):
                if not await self._jobs.renew(held, self._node, progress.heard_seconds):
                    log.warning("a job was lost to another node", job=job_id)
                    return

    async def _finish(self, held: Held, progress: Progress) -> bool:
        state = StoredState.FAILED if progress.state is JobState.FAILED else StoredState.DONE
        return await self._jobs.finish(held, state, json.dumps(asdict(progress)).encode())


def _stored_id(job_id: str, owner: str) -> str:
    """Who does not own a job cannot even name it."""
    return f"{hashlib.sha256(owner.encode()).hexdigest()[:16]}:{job_id}"
