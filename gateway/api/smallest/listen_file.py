"""POST `/waves/v1/stt/`: a recording, by body or by address, to words."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import QueryParams

from gateway.api.connected import NOBODY, HungUp, while_connected
from gateway.api.core.plain_text import bare
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.dialect import read_body, read_json, request_id, room, served
from gateway.api.metering import metered, used
from gateway.api.smallest.errors import DESCRIBED, code_of, waves
from gateway.api.smallest.listen_live import words_of
from gateway.api.smallest.query import HONOURED, REFUSED, REPORTED, WEBHOOK, PulseQuery, Webhook, read_pulse
from gateway.api.told import message_of
from gateway.audio.spool import Spool
from gateway.batch.job import Callback, Job
from gateway.batch.recordings import FileHeard, RecordingAsk
from gateway.errors import AudioUnfit, ParameterMissing, RequestUnfit
from gateway.keys.key import Scope
from media.clock import now

SHAPE = "waves"
"""Name of this API's form of a result."""
_DESCRIBED: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
        for name in (*HONOURED, *WEBHOOK, *REFUSED, *REPORTED)
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {
                "schema": {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]}
            },
        },
    },
}


def add(api: FastAPI, parts: SpeechParts) -> None:
    """The address, its form without a slash, and the older one."""
    router = room(parts, waves, tag="smallest")
    if parts.jobs is not None:
        parts.jobs.teach(SHAPE, WavesShape(parts))

    @router.post("/waves/v1/stt/", openapi_extra=_DESCRIBED, responses=DESCRIBED)
    @router.post("/waves/v1/stt", include_in_schema=False)
    @router.post("/waves/v1/pulse/get_text", openapi_extra=_DESCRIBED, responses=DESCRIBED)
    async def stt(request: Request) -> Response:
        """The words of a recording, in the answer, or later at `webhook_url`."""
        entered = served(request, parts, Scope.LISTEN)
        async with entered as caller, metered(parts, "smallest", "listen", request):
            query = read_pulse(request.query_params, parts.hears, parts.language, live=False)
            async with parts.recordings.files.spool() as spool:
                used(request, *query.features())
                await _fill(request, parts, spool)
                began = now()
                if query.webhook is not None:
                    return await _later(request, parts, spool, query, query.webhook, caller.key_id)
                ask = RecordingAsk(query.language, segmenter=parts.segmenter)
                try:
                    found = await while_connected(request, parts.recordings.recognise(parts, spool.path, ask))
                except HungUp:
                    return Response(status_code=NOBODY)
                parts.watch.heard("smallest", found.seconds)
                told = _answer(found, query, spool.size, request_id(request), now() - began)
                return JSONResponse(told)

    api.include_router(router)


async def _later(
    request: Request, parts: SpeechParts, spool: Spool, query: PulseQuery, webhook: Webhook, owner: str
) -> Response:
    if parts.jobs is None:
        raise RequestUnfit("results are sent in the answer only", field="webhook_url")
    named = request_id(request)
    details = {
        "query": request.query_params.multi_items(), "size": spool.size, "extra": webhook.extra,
        "at": parts.wall().timestamp(),
    }  # fmt: skip
    job = Job(
        job_id=named, shape=SHAPE, language=query.language, owner=owner, details=details,
        callback=Callback(webhook.url, webhook.method),
    )  # fmt: skip
    await parts.jobs.submit(job, spool)
    return JSONResponse({"status": "processing", "request_id": named})


class WavesShape:
    """A webhook's body is the answer that would have been given, and what the client wanted to have back."""

    def __init__(self, parts: SpeechParts) -> None:
        self._parts = parts

    def done(self, job: Job, heard: FileHeard) -> dict[str, Any]:
        """See `gateway.batch.jobs.Shape`."""
        pairs = QueryParams([(name, value) for name, value in job.details["query"]])
        query = read_pulse(pairs, self._parts.hears, self._parts.language, live=False)
        seconds = self._parts.wall().timestamp() - job.details["at"]
        return {**_answer(heard, query, job.details["size"], job.job_id, seconds), **_extra(job)}

    def failed(self, job: Job, error: Exception) -> dict[str, Any]:
        """See `gateway.batch.jobs.Shape`."""
        _, code = code_of(error)
        told = {"status": "error", "request_id": job.job_id, "error": code, "message": message_of(error)}
        return {**told, **_extra(job)}


def _extra(job: Job) -> dict[str, Any]:
    return {"webhook_extra": job.details["extra"]} if job.details["extra"] else {}


async def _fill(request: Request, parts: SpeechParts, spool: Spool) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        await parts.recordings.files.take(request.stream(), spool)
    else:
        url = read_json(await read_body(request, parts.limits.text_bytes)).get("url")
        if not isinstance(url, str) or not url:
            raise ParameterMissing("the recording's address is needed", field="url")
        await parts.recordings.files.take_url(url, spool)
    if not spool.size:
        raise AudioUnfit("the body holds no audio")


def _answer(found: FileHeard, query: PulseQuery, size: int, named: str, seconds: float) -> dict[str, Any]:
    heard = found.channels[0]
    body: dict[str, Any] = {
        "status": "success",
        "transcription": heard.text if query.punctuate else bare(heard.text),
        "language": query.language,
        "metadata": {
            "duration": round(found.seconds, 3),
            "processing_time_ms": round(seconds * 1000),
            "rtfx": round(found.seconds / max(seconds, 1e-3), 1),
            "num_chunks": len(heard.utterances),
            "filename": "",
            "fileSize": size,
        },
        "request_id": named,
        **query.body(),
    }
    if query.words:
        body["words"] = words_of(heard.words)
        body["utterances"] = [
            {"text": one.text, "start": round(one.start, 3), "end": round(one.end, 3)}
            for one in heard.utterances
        ]
    return body
