"""Jobs from the queue to their results, with a scripted recogniser. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.base import EngineBusy, EngineRefused
from gateway.api.core.listening import Heard
from gateway.api.core.transcribing import Recording
from gateway.audio.decoder_wire import AudioInfo, RawFormat
from gateway.audio.files import AudioFiles
from gateway.batch.callbacks import Callbacks
from gateway.batch.job import Callback, Job, JobState, Progress
from gateway.batch.jobs import Jobs
from gateway.batch.queue import MemoryQueue
from gateway.batch.recordings import Ears, FileHeard, RecordingAsk, Recordings
from gateway.batch.settings import BatchSettings, CallbackSettings
from gateway.errors import AudioBroken, DecodersBusy, RequestUnfit
from gateway.secret import Secret
from media.clock import now
from tests.gateway.batch.test_callbacks import SECRET, Receiver
from tests.virtual_time import run_virtual

T = TypeVar("T")
INFO = AudioInfo("wav", "pcm_s16le", 16000, 1, 1, 60.0)


class ScriptedRecordings:
    """Takes a second for each ten of sound; raises what the script holds first."""

    def __init__(self, *troubles: Exception) -> None:
        self.troubles = list(troubles)
        self.running = self.most = 0
        self.files = AudioFiles()

    async def recognise(
        self,
        ears: Ears,
        path: Path,
        ask: RecordingAsk,
        *,
        began: Callable[[AudioInfo], None],
        progress: Callable[[float], None],
    ) -> FileHeard:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            began(INFO)
            for ten in range(1, 7):
                await asyncio.sleep(1)
                progress(10.0 * ten)
                if self.troubles:
                    raise self.troubles.pop(0)
            final = Heard(1, f"words of {path.name}", (), 0.9, 0.0, 60.0, is_final=True)
            return FileHeard(INFO, (Recording((final,), 60.0),))
        finally:
            self.running -= 1


class PlainShape:
    def done(self, job: Job, heard: FileHeard) -> dict[str, Any]:
        return {"job_id": job.job_id, "text": heard.channels[0].text}

    def failed(self, job: Job, error: Exception) -> dict[str, Any]:
        return {"job_id": job.job_id, "error": str(error)}


def run(
    work: Callable[[Jobs], Awaitable[T]],
    *troubles: Exception,
    receiver: Receiver | None = None,
    secret: str = SECRET,
    recordings: ScriptedRecordings | None = None,
    **settings: Any,
) -> T:
    async def main() -> T:
        chosen = BatchSettings(callback=CallbackSettings(secret=Secret(secret)), **settings)
        callbacks = Callbacks(chosen.callback, receiver or Receiver([200]), now, lambda: 0.5)
        jobs = Jobs(
            cast(Ears, None),
            cast(Recordings, recordings or ScriptedRecordings(*troubles)),
            MemoryQueue(waiting=chosen.jobs_waiting, kept=chosen.jobs_kept),
            callbacks,
            {"plain": PlainShape()},
            chosen,
        )
        jobs.start()
        try:
            return await work(jobs)
        finally:
            await jobs.aclose()
            assert len(asyncio.all_tasks()) == 1

    return run_virtual(main())


def job(name: str = "a", **changes: Any) -> Job:
    return Job(**{"job_id": name, "shape": "plain", "language": "en-US", "path": f"/none/{name}", **changes})


async def over(jobs: Jobs, name: str, owner: str = "") -> Progress:
    while True:  # noqa: ASYNC110 - clients ask again, too
        progress = await jobs.look(name, owner)
        assert progress is not None
        if progress.over and progress.callback != "pending":
            return progress
        await asyncio.sleep(0.5)


def test_a_job_is_run_and_told() -> None:
    async def work(jobs: Jobs) -> list[tuple[JobState, float, float | None]]:
        await jobs.submit(job())
        seen = []
        for _ in range(8):
            progress = await jobs.look("a", "")
            assert progress is not None
            seen.append((progress.state, progress.heard_seconds, progress.total_seconds))
            await asyncio.sleep(1.001)
        return seen

    seen = run(work)
    assert seen[0] == (JobState.WAITING, 0.0, None)
    assert seen[3] == (JobState.RUNNING, 30.0, 60.0)
    assert seen[-1] == (JobState.DONE, 60.0, 60.0)


def test_results_are_delivered_and_kept() -> None:
    receiver = Receiver([500, 200])

    async def work(jobs: Jobs) -> Progress:
        await jobs.submit(job(callback=Callback("https://app.example/")))
        return await over(jobs, "a")

    progress = run(work, receiver=receiver)
    assert (progress.state, progress.callback) == (JobState.DONE, "delivered")
    assert progress.body == {"job_id": "a", "text": "words of a"}
    assert [body for *_, body in receiver.taken] == [b'{"job_id": "a", "text": "words of a"}'] * 2


def test_a_slow_receiver_holds_up_no_other_job() -> None:
    async def work(jobs: Jobs) -> float:
        for name in "abc":
            await jobs.submit(job(name, callback=Callback("https://app.example/")))
        while not ((progress := await jobs.look("c", "")) and progress.over):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        return now()

    assert run(work, receiver=Receiver([503]), at_once=1) == pytest.approx(18.1, abs=0.3)


def test_only_so_many_at_once() -> None:
    recordings = ScriptedRecordings()

    async def work(jobs: Jobs) -> None:
        for name in "abcdef":
            await jobs.submit(job(name))
        await over(jobs, "f")

    run(work, recordings=recordings, at_once=2)
    assert recordings.most == 2


def test_a_file_that_cannot_be_read_is_told() -> None:
    async def work(jobs: Jobs) -> Progress:
        await jobs.submit(job())
        return await over(jobs, "a")

    progress = run(work, AudioBroken("the wav file ends early"))
    assert (progress.state, progress.body) == (
        JobState.FAILED,
        {"job_id": "a", "error": "the wav file ends early"},
    )
    assert run(work, EngineRefused("no Latin")).state is JobState.FAILED


def test_an_engine_without_room_is_asked_again() -> None:
    async def work(jobs: Jobs) -> tuple[Progress, float]:
        await jobs.submit(job())
        return await over(jobs, "a"), now()

    progress, took = run(work, EngineBusy("full"), DecodersBusy("full", retry_after=1))
    assert progress.state is JobState.DONE
    assert took == pytest.approx(1 + 2 + 1 + 4 + 6, abs=0.6)
    assert run(work, *[EngineBusy("full")] * 9)[0].state is JobState.FAILED


def test_a_job_is_shown_to_its_owner_only() -> None:
    async def work(jobs: Jobs) -> None:
        await jobs.submit(job(owner="key-1"))
        assert await jobs.look("a", "key-1") is not None
        assert await jobs.look("a", "key-2") is None
        assert await jobs.look("a", "") is None
        assert await jobs.look("b", "key-1") is None

    run(work)


def test_a_full_queue() -> None:
    async def work(jobs: Jobs) -> None:
        await jobs.submit(job("a"))
        await jobs.submit(job("b"))
        with pytest.raises(DecodersBusy) as full:
            await jobs.submit(job("c"))
        assert full.value.retry_after > 0

    run(work, jobs_waiting=2)


def test_old_results_are_forgotten() -> None:
    async def work(jobs: Jobs) -> None:
        for name in "abc":
            await jobs.submit(job(name))
        await over(jobs, "c")
        await asyncio.sleep(1)
        assert await jobs.look("a", "") is None
        assert await jobs.look("c", "") is not None

    run(work, jobs_kept=1, at_once=1)


def test_a_callback_needs_a_secret() -> None:
    async def work(jobs: Jobs) -> None:
        with pytest.raises(RequestUnfit, match="batch.callback.secret"):
            await jobs.submit(job(callback=Callback("https://app.example/")))

    run(work, secret="")


def test_files_go_with_their_jobs(tmp_path: Path) -> None:
    async def work(jobs: Jobs) -> None:
        for name in "abc":
            (tmp_path / name).write_bytes(b"x")  # noqa: ASYNC240 - virtual time knows no threads
            await jobs.submit(job(name, path=str(tmp_path / name)))
        await over(jobs, "a")
        await asyncio.sleep(0)

    run(work, at_once=1)
    assert list(tmp_path.iterdir()) == []


@given(
    st.builds(
        Job,
        job_id=st.text(),
        shape=st.text(),
        language=st.text(),
        raw=st.none() | st.builds(RawFormat, st.text(), st.integers(), st.integers()),
        hot_words=st.tuples(st.text(), st.text()),
        details=st.dictionaries(st.text(), st.booleans() | st.text(), max_size=3),
        callback=st.none() | st.builds(Callback, st.text(), st.sampled_from(["POST", "PUT"])),
    )
)
def test_a_job_crosses_a_queue_unchanged(given_: Job) -> None:
    assert Job.read(given_.text()) == given_
