"""Runs jobs: takes them from the queue, recognises, keeps the result, delivers it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import structlog

from engines.base import EngineError
from gateway.audio.decoder_wire import AudioInfo
from gateway.audio.spool import Spool
from gateway.batch.callbacks import Callbacks
from gateway.batch.job import Job, JobState, Progress
from gateway.batch.queue import JobQueue
from gateway.batch.recordings import Ears, FileHeard, Recordings
from gateway.batch.settings import BatchSettings
from gateway.errors import DecodersBusy, GatewayError, RequestUnfit, verdict

log = structlog.get_logger(__name__)

_TELL_SECONDS = 5.0
"""Sound heard between two tellings of how far a job is."""
_FIRST_WAIT = 2.0
_LONGEST_WAIT = 60.0


class Shape(Protocol):
    """One API's form of a job's end, as its callback and its answers carry it."""

    def done(self, job: Job, heard: FileHeard) -> dict[str, Any]: ...

    def failed(self, job: Job, error: Exception) -> dict[str, Any]: ...


class Jobs:
    """The node's part in the queue. Belongs to one event loop."""

    def __init__(
        self,
        ears: Ears,
        recordings: Recordings,
        queue: JobQueue,
        callbacks: Callbacks,
        shapes: Mapping[str, Shape] = MappingProxyType({}),
        settings: BatchSettings | None = None,
    ) -> None:
        self._ears = ears
        self._recordings = recordings
        self._queue = queue
        self._callbacks = callbacks
        self._shapes = dict(shapes)
        self._settings = settings or BatchSettings()
        self._workers: list[asyncio.Task[None]] = []
        self._deliveries: set[asyncio.Task[None]] = set()

    def teach(self, name: str, shape: Shape) -> None:
        """From now on jobs may have this shape."""
        self._shapes[name] = shape

    def start(self) -> None:
        """Begin to take jobs."""
        loop = asyncio.get_running_loop()
        self._workers = [
            loop.create_task(self._work(), name=f"batch-{number}") for number in range(self._settings.at_once)
        ]

    async def submit(self, job: Job, spool: Spool | None = None) -> None:
        """Queue the job; the spool's file becomes the job's. Raises `DecodersBusy`, `RequestUnfit`."""
        if job.callback is not None and not self._callbacks.ready:
            told = "callbacks are not set up here: the operator must give batch.callback.secret"
            raise RequestUnfit(told, field="callback_url")
        if spool is None:
            await self._queue.put(job)
            return
        await self._queue.put(replace(job, path=str(spool.path)))
        spool.keep()

    async def look(self, job_id: str, owner: str) -> Progress | None:
        """How far the job is; None where there is none, or it is somebody else's."""
        return await self._queue.look(job_id, owner)

    async def aclose(self) -> None:
        """Stop taking jobs. Those that run are cut off; a queue outside this process gives them to others."""
        tasks = [*self._workers, *self._deliveries]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._queue.aclose()

    async def _work(self) -> None:
        while True:
            job = await self._queue.take()
            try:
                await self._run(job)
            except asyncio.CancelledError:
                if not self._queue.lasting:
                    job.discard()
                raise
            except Exception:
                log.exception("a job broke", job=job.job_id)
                await self._queue.settle(job.job_id)
            job.discard()

    async def _run(self, job: Job) -> None:
        shape = self._shapes[job.shape]
        try:
            heard = await self._recognised(job)
            progress = Progress(
                JobState.DONE, job.owner, heard.seconds, heard.seconds, shape.done(job, heard)
            )
        except (GatewayError, EngineError) as error:
            log.info("a recording was not recognised", job=job.job_id, why=type(error).__name__)
            progress = Progress(JobState.FAILED, job.owner, body=shape.failed(job, error))
        if job.callback is None:
            await self._queue.tell(job.job_id, progress)
            await self._queue.settle(job.job_id)
            return
        progress = replace(progress, callback="pending")
        await self._queue.tell(job.job_id, progress)
        task = asyncio.get_running_loop().create_task(self._deliver(job, progress))
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    async def _recognised(self, job: Job) -> FileHeard:
        """The words; tried again while the engine has no room. Raises `RequestUnfit`, `EngineError`."""
        async with AsyncExitStack() as stack:
            path = Path(job.path)
            if job.url:
                spool = await stack.enter_async_context(self._recordings.files.spool())
                await self._recordings.files.take_url(job.url, spool)
                path = spool.path
            for number in range(1, self._settings.engine_tries + 1):
                teller = _Teller(self._queue, job)
                try:
                    return await self._recordings.recognise(
                        self._ears, path, job.ask(), began=teller.began, progress=teller.heard
                    )
                except (EngineError, DecodersBusy) as error:
                    if not verdict(error).retryable or number == self._settings.engine_tries:
                        raise
                    await asyncio.sleep(min(_FIRST_WAIT * 2 ** (number - 1), _LONGEST_WAIT))
                finally:
                    await teller.aclose()
        raise AssertionError("at least one try is made")

    async def _deliver(self, job: Job, progress: Progress) -> None:
        assert job.callback is not None and progress.body is not None
        taken = await self._callbacks.deliver(job.job_id, job.callback, progress.body)
        await self._queue.tell(job.job_id, replace(progress, callback="delivered" if taken else "failed"))
        await self._queue.settle(job.job_id)


class _Teller:
    """Tells the queue how far a job is, every few seconds of sound, without holding up the recogniser."""

    def __init__(self, queue: JobQueue, job: Job) -> None:
        self._queue = queue
        self._job = job
        self._total: float | None = None
        self._told = -_TELL_SECONDS
        self._telling: asyncio.Task[None] | None = None

    def began(self, info: AudioInfo) -> None:
        """The file says what it is."""
        self._total = info.claimed_seconds

    def heard(self, seconds: float) -> None:
        """So much was heard."""
        if seconds - self._told < _TELL_SECONDS or (self._telling is not None and not self._telling.done()):
            return
        self._told = seconds
        progress = Progress(JobState.RUNNING, self._job.owner, seconds, self._total)
        self._telling = asyncio.get_running_loop().create_task(self._queue.tell(self._job.job_id, progress))

    async def aclose(self) -> None:
        """What is being told is told before anything later."""
        if self._telling is not None:
            await asyncio.gather(self._telling, return_exceptions=True)
