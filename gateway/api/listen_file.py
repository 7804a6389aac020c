"""POST `/v1/listen`, which Deepgram and Smallest's self-host class both claim: one answer that both read.

A multipart body with the part `audio`, or a JSON body with a field that only Smallest has, is Smallest's;
everything else is Deepgram's. The answer holds both APIs' fields; errors too, with the status of whose it is.
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from gateway.api.core.speech_parts import SpeechParts
from gateway.api.deepgram import errors as deepgram_errors
from gateway.api.deepgram.file_answer import deepgram_body
from gateway.api.deepgram.query import ListenQuery, read
from gateway.api.dialect import read_body, read_json, request_id, room, served
from gateway.api.listen_later import DEEPGRAM, SMALLEST, DeepgramShape, SmallestShape, later
from gateway.api.metering import metered, used
from gateway.api.smallest import errors as smallest_errors
from gateway.api.smallest.listen_ask import FIELDS, SmallestAsk, smallest_answer
from gateway.audio.decoder_wire import RawFormat
from gateway.audio.spool import Spool
from gateway.batch.recordings import FileHeard, RecordingAsk
from gateway.errors import AudioUnfit, ParameterMissing, RequestUnfit
from gateway.keys.key import Scope

_RAW = ("linear16", "linear32", "mulaw", "alaw")
_DESCRIBED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"url": {"type": "string"}, **FIELDS},
                    "required": ["url"],
                }
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"audio": {"type": "string", "format": "binary"}, **FIELDS},
                    "required": ["audio"],
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


def union(error: Exception, request_id: str) -> Response:
    """Both APIs' fields, Deepgram's status. See `gateway.api.dialect.ErrorShape`."""
    answer = deepgram_errors.answer(error, request_id)
    return _both(answer, error, request_id, answer.status_code)


def smallest_union(error: Exception, request_id: str) -> Response:
    """Both APIs' fields, Smallest's status."""
    told = deepgram_errors.answer(error, request_id)
    return _both(told, error, request_id, smallest_errors.code_of(error)[0])


def add(api: FastAPI, parts: SpeechParts) -> None:
    """The address."""
    router = room(parts, union, tag="listen")
    if parts.jobs is not None:
        parts.jobs.teach(DEEPGRAM, DeepgramShape(parts))
        parts.jobs.teach(SMALLEST, SmallestShape())

    @router.post("/v1/listen", openapi_extra=_DESCRIBED, responses=deepgram_errors.DESCRIBED)
    async def listen(request: Request) -> Response:
        """What is said in a recording: its octets, a multipart body, or JSON with its address.

        Answers with the fields of Deepgram (`metadata`, `results`) and of Smallest (`text`, `words`, …).
        """
        async with served(request, parts, Scope.LISTEN) as caller, parts.recordings.files.spool() as spool:
            request.state.key_id = caller.key_id
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind == "multipart/form-data":
                request.state.shape = smallest_union
                async with metered(parts, "smallest", "listen", request):
                    return await _of_form(request, parts, spool)
            async with metered(parts, "deepgram", "listen", request):
                if kind == "application/json":
                    return await _of_json(request, parts, spool)
                query = _query(request, parts)
                await parts.recordings.files.take(request.stream(), spool)
                return await _deepgram(request, parts, spool, query)

    api.include_router(router)


async def _of_form(request: Request, parts: SpeechParts, spool: Spool) -> Response:
    kind = request.headers.get("content-type", "")
    form = await parts.recordings.files.take_form(request.stream(), kind, spool, "audio")
    if form.file_name is None:
        raise ParameterMissing("a file is needed in this part", field="audio")
    return await _smallest(request, parts, spool, SmallestAsk.read(dict(form.fields), parts))


async def _of_json(request: Request, parts: SpeechParts, spool: Spool) -> Response:
    body = read_json(await read_body(request, parts.limits.text_bytes))
    url = body.get("url")
    if not isinstance(url, str) or not url:
        raise ParameterMissing("the recording's address is needed", field="url")
    if any(name in body for name in FIELDS):
        request.state.shape = smallest_union
        ask = SmallestAsk.read({key: value for key, value in body.items() if key != "url"}, parts)
        await parts.recordings.files.take_url(url, spool)
        return await _smallest(request, parts, spool, ask)
    query = _query(request, parts)
    await parts.recordings.files.take_url(url, spool)
    return await _deepgram(request, parts, spool, query)


def _query(request: Request, parts: SpeechParts) -> ListenQuery:
    query = read(request.query_params, parts.hears, parts.language, parts.limits.shortest_endpoint_ms)
    if query.callback and parts.jobs is None:
        raise RequestUnfit("results are sent in the answer only", field="callback")
    if query.callback and query.callback_method not in ("POST", "PUT"):
        raise RequestUnfit("choose POST or PUT", field="callback_method")
    return query


async def _deepgram(request: Request, parts: SpeechParts, spool: Spool, query: ListenQuery) -> Response:
    raw = None
    if query.encoding in _RAW:
        if not query.sample_rate:
            raise ParameterMissing(f"is needed with encoding={query.encoding}", field="sample_rate")
        raw = RawFormat(query.encoding, query.sample_rate, query.channels)
    ask = RecordingAsk(query.language, raw, query.multichannel, query.hot_words, segmenter=parts.segmenter)
    named = request_id(request)
    used(request, *(["punctuation"] if query.punctuate else []), "timestamps")
    if query.callback and parts.jobs is not None:
        used(request, "batch", "callback")
        details = {"query": request.query_params.multi_items(), "sha256": spool.sha256}
        job = later(named, DEEPGRAM, ask, request, query.callback, query.callback_method, details)
        await parts.jobs.submit(job, _full(spool))
        return JSONResponse({"request_id": named}, headers={"dg-request-id": named})
    found = await _heard(parts, spool, ask, "deepgram")
    body = {
        **deepgram_body(found, query, parts, named, spool.sha256),
        **smallest_answer(found, named, query.language, words=False),
    }
    return JSONResponse(body, headers={"dg-request-id": named})


async def _smallest(request: Request, parts: SpeechParts, spool: Spool, ask: SmallestAsk) -> Response:
    named = request_id(request)
    wanted = RecordingAsk(ask.language, segmenter=parts.segmenter)
    used(
        request,
        *(name for name, asked in (("punctuation", ask.punctuate), ("timestamps", ask.timestamps)) if asked),
    )
    if ask.callback_url:
        if parts.jobs is None:
            raise RequestUnfit("results are sent in the answer only", field="callback_url")
        used(request, "batch", "callback")
        details = {"timestamps": ask.timestamps, "punctuate": ask.punctuate}
        job = later(named, SMALLEST, wanted, request, ask.callback_url, "POST", details)
        await parts.jobs.submit(job, _full(spool))
        return JSONResponse({"job_id": named, "status": "processing"}, headers={"X-Request-Id": named})
    found = await _heard(parts, spool, wanted, "smallest")
    body = {
        **deepgram_body(found, ask.as_query(), parts, named, spool.sha256),
        **smallest_answer(found, named, ask.language, words=ask.timestamps, punctuate=ask.punctuate),
    }
    return JSONResponse(body, headers={"dg-request-id": named, "X-Request-Id": named})


def _full(spool: Spool) -> Spool:
    if not spool.size:
        raise AudioUnfit("the body holds no audio")
    return spool


async def _heard(parts: SpeechParts, spool: Spool, ask: RecordingAsk, api: str) -> FileHeard:
    _full(spool)
    found = await parts.recordings.recognise(parts, spool.path, ask)
    parts.watch.heard(api, found.seconds)
    return found


def _both(answer: Response, error: Exception, named: str, status: int) -> Response:
    body = {**json.loads(bytes(answer.body)), **smallest_errors.flat_body(error, named)}
    headers = {k: v for k, v in answer.headers.items() if k not in ("content-length", "content-type")}
    return JSONResponse(body, status, headers)
