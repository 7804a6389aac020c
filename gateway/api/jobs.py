"""`/v1/jobs`: recordings that are recognised later, with progress and a signed callback."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from gateway.api.core.speech_parts import SpeechParts
from gateway.api.dialect import admitted, read_body, read_json, request_id, room, served
from gateway.api.openai.names import language_tag
from gateway.audio.spool import Spool
from gateway.batch.job import Callback, Job, JobState, Progress
from gateway.batch.recordings import FileHeard
from gateway.errors import JobUnknown, RequestUnfit, verdict
from gateway.keys.key import Scope

SHAPE = "offhook"
"""Name of this API's form of a result."""
_FIELDS = frozenset({"url", "language", "callback_url", "callback_method"})
_STATES = {
    JobState.WAITING: "waiting",
    JobState.RUNNING: "processing",
    JobState.DONE: "completed",
    JobState.FAILED: "failed",
}


def add_routes(api: FastAPI, parts: SpeechParts) -> None:
    """Adds the routes, where jobs are run."""
    jobs = parts.jobs
    if jobs is None:
        return
    jobs.teach(SHAPE, OwnShape())
    router = room(parts, flat_error, tag="jobs")

    @router.post("/v1/jobs", status_code=202, openapi_extra=_DESCRIPTION)
    async def submit(request: Request) -> Response:
        """Queue a recording: a form with `audio`, or JSON with `url`; ask for it by the id answered."""
        async with AsyncExitStack() as stack:
            caller = await stack.enter_async_context(served(request, parts, Scope.LISTEN))
            spool = await stack.enter_async_context(parts.recordings.files.spool())
            fields, sent = await _read(request, parts, spool)
            job = _job(fields, request_id(request), caller.key_id, parts, sent=sent)
            await jobs.submit(job, spool if sent else None)
        return JSONResponse({"job_id": job.job_id, "status": "processing"}, 202)

    @router.get("/v1/jobs/{job_id}", responses={404: {"description": "No such job, or not this key's"}})
    async def look(request: Request, job_id: str) -> dict[str, Any]:
        """How far a job is, and its result once it is over."""
        caller = await admitted(request, parts, Scope.LISTEN)
        progress = await jobs.look(job_id, caller.key_id)
        if progress is None:
            raise JobUnknown("no job of that id is known, or it is another key's")
        return told(job_id, progress)

    api.include_router(router)


async def _read(request: Request, parts: SpeechParts, spool: Spool) -> tuple[Mapping[str, Any], bool]:
    """The fields, and whether a file came with them."""
    kind = request.headers.get("content-type", "")
    if kind.startswith("application/json"):
        return read_json(await read_body(request, parts.limits.text_bytes)), False
    form = await parts.recordings.files.take_form(request.stream(), kind, spool, "audio", "file")
    return dict(form.fields), form.file_name is not None


def _job(fields: Mapping[str, Any], job_id: str, owner: str, parts: SpeechParts, *, sent: bool) -> Job:
    for name, value in fields.items():
        if name not in _FIELDS:
            raise RequestUnfit("there is no such parameter", field=str(name)[:64])
        if not isinstance(value, str):
            raise RequestUnfit("must be a string", field=name)
    url = fields.get("url", "")
    if bool(url) == sent:
        raise RequestUnfit("give either a file as `audio`, or its address as `url`", field="url")
    method = fields.get("callback_method", "POST").upper()
    if method not in ("POST", "PUT"):
        raise RequestUnfit("choose POST or PUT", field="callback_method")
    callback = fields.get("callback_url", "")
    return Job(
        job_id=job_id,
        shape=SHAPE,
        language=language_tag(fields.get("language", ""), parts.language),
        owner=owner,
        url=url,
        callback=Callback(callback, method) if callback else None,
    )


def told(job_id: str, progress: Progress) -> dict[str, Any]:
    """A job as its owner sees it."""
    body: dict[str, Any] = {
        "job_id": job_id,
        "status": _STATES[progress.state],
        "progress": {
            "heard_seconds": round(progress.heard_seconds, 3),
            "total_seconds": progress.total_seconds,
        },
    }
    if progress.callback:
        body["callback"] = progress.callback
    return {**body, **(progress.body or {})}


class OwnShape:
    """This API's form of a job's end; also that of the self-host class's webhooks."""

    def done(self, job: Job, heard: FileHeard) -> dict[str, Any]:
        """See `gateway.batch.jobs.Shape`."""
        recording = heard.channels[0]
        words = [
            {
                "word": word.text,
                "start": round(word.start, 3),
                "end": round(word.end, 3),
                "confidence": round(word.confidence, 4),
            }
            for word in recording.words
        ]
        result = {
            "text": recording.text,
            "confidence": round(recording.confidence, 4),
            "duration": round(heard.seconds, 3),
            "language": job.language,
            "words": words,
        }
        return {"job_id": job.job_id, "status": "completed", "result": result}

    def failed(self, job: Job, error: Exception) -> dict[str, Any]:
        """See `gateway.batch.jobs.Shape`."""
        return {"job_id": job.job_id, "status": "failed", "error": str(error)}


def flat_error(error: Exception, request_id: str) -> Response:
    """`{"error", "code", "request_id"}`; see `gateway.api.dialect.ErrorShape`."""
    judged = verdict(error)
    message = "internal error" if judged.http_status == 500 else str(error)
    headers = {}
    if judged.retryable and judged.http_status in (429, 503):
        headers["Retry-After"] = str(getattr(error, "retry_after", 2))
    body = {"error": message, "code": type(error).__name__, "request_id": request_id}
    return JSONResponse(body, judged.http_status, headers)


_STRINGS = {name: {"type": "string"} for name in sorted(_FIELDS)}
_DESCRIPTION: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["url"],
                    "additionalProperties": False,
                    "properties": _STRINGS,
                }
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["audio"],
                    "properties": {"audio": {"type": "string", "format": "binary"}, **_STRINGS},
                }
            },
        },
    }
}
