"""Recordings of `/v1/listen` that are recognised later: the jobs, and the callbacks in each API's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from starlette.datastructures import QueryParams

from gateway.api.core.speech_parts import SpeechParts
from gateway.api.deepgram.errors import code_of
from gateway.api.deepgram.file_answer import deepgram_body
from gateway.api.deepgram.query import read
from gateway.api.smallest.listen_ask import smallest_answer
from gateway.api.told import message_of
from gateway.batch.job import Callback, Job
from gateway.batch.recordings import FileHeard, RecordingAsk

DEEPGRAM, SMALLEST = "deepgram", "smallest"
"""Names of the shapes."""


def later(
    job_id: str,
    shape: str,
    ask: RecordingAsk,
    request: Request,
    url: str,
    method: str,
    details: Mapping[str, Any],
) -> Job:
    """The recording as a job whose result goes to `url`."""
    return Job(
        job_id=job_id,
        shape=shape,
        language=ask.language,
        owner=getattr(request.state, "key_id", ""),
        raw=ask.raw,
        split=ask.split,
        hot_words=ask.hot_words,
        details=dict(details),
        callback=Callback(url, method),
    )


class DeepgramShape:
    """The callback's body is the answer that would have been given."""

    def __init__(self, parts: SpeechParts) -> None:
        self._parts = parts

    def done(self, job: Job, heard: FileHeard) -> dict[str, Any]:
        """See `gateway.batch.jobs.Shape`."""
        parts = self._parts
        pairs = QueryParams([(name, value) for name, value in job.details["query"]])
        query = read(pairs, parts.hears, parts.language, parts.limits.shortest_endpoint_ms)
        return {
            **deepgram_body(heard, query, parts, job.job_id, job.details["sha256"]),
            **smallest_answer(heard, job.job_id, query.language, words=False),
        }

    def failed(self, job: Job, error: Exception) -> dict[str, Any]:
        """See `gateway.batch.jobs.Shape`."""
        _, code = code_of(error)
        return {"err_code": code, "err_msg": message_of(error), "request_id": job.job_id}


class SmallestShape:
    """`job_id`, `status`, and `result` or `error`."""

    def done(self, job: Job, heard: FileHeard) -> dict[str, Any]:
        """See `gateway.batch.jobs.Shape`."""
        words, punctuate = job.details["timestamps"], job.details["punctuate"]
        result = smallest_answer(heard, job.job_id, job.language, words=words, punctuate=punctuate)
        return {"job_id": job.job_id, "status": "completed", "result": result}

    def failed(self, job: Job, error: Exception) -> dict[str, Any]:
        """See `gateway.batch.jobs.Shape`."""
        return {"job_id": job.job_id, "status": "failed", "error": message_of(error)}
