"""POST `/v1/audio/transcriptions`: a file in, its words out, at once or as they are heard."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from gateway.api.connected import NOBODY, HungUp, while_connected
from gateway.api.core.listening import Heard
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.dialect import plain, request_id, served
from gateway.api.metering import metered, used
from gateway.api.openai.errors import error_body
from gateway.api.openai.openapi import TRANSCRIPTION
from gateway.api.openai.transcription_answer import json_answer, plain_answer, usage
from gateway.api.openai.transcription_request import TranscriptionAsk, read_ask
from gateway.audio.spool import Spool
from gateway.batch.recordings import FileHeard, RecordingAsk
from gateway.errors import RequestUnfit
from gateway.keys.key import Scope

NOT_HONOURED = "offhook-not-honoured"
"""Header that tells what made no difference, for answers whose body cannot."""
_ALIVE_SECONDS = 15.0
"""Silence after which a comment keeps a stream's connection open."""


def add_transcriptions(router: APIRouter, parts: SpeechParts) -> None:
    """Adds the route."""

    @router.post("/v1/audio/transcriptions", openapi_extra=TRANSCRIPTION)
    async def transcriptions(request: Request) -> Response:
        """The words of an audio file, in one of five formats, or streamed as they are heard."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(served(request, parts, Scope.LISTEN))
            await stack.enter_async_context(metered(parts, "openai", "listen", request))
            spool = await stack.enter_async_context(parts.recordings.files.spool())
            ask = await _read(request, parts, spool)
            used(
                request,
                "punctuation",
                *(["timestamps"] if ask.response_format not in ("json", "text") else []),
            )
            named = {"x-request-id": request_id(request)}
            if ask.not_honoured:
                named[NOT_HONOURED] = "; ".join(ask.not_honoured)
            try:
                if ask.stream:
                    events = _Events(parts, spool, ask)
                    await while_connected(request, events.begin())
                    kept = stack.pop_all()
                    return StreamingResponse(events.sent(kept), 200, named, "text/event-stream")
                heard = await while_connected(request, _recognise(parts, spool, ask))
            except HungUp:
                return Response(status_code=NOBODY)
            if ask.response_format in ("json", "verbose_json"):
                return JSONResponse(json_answer(heard, ask), headers=named)
            text, media_type = plain_answer(heard, ask)
            return Response(text, headers=named, media_type=media_type)


async def _read(request: Request, parts: SpeechParts, spool: Spool) -> TranscriptionAsk:
    """The form, its file in the spool."""
    kind = request.headers.get("content-type", "")
    form = await parts.recordings.files.take_form(request.stream(), kind, spool, "file")
    if form.file_name is None:
        raise RequestUnfit("an audio file is needed", field="file")
    return read_ask(form.fields, parts.asr, parts.hears, language=parts.language, segmenter=parts.segmenter)


async def _recognise(
    parts: SpeechParts,
    spool: Spool,
    ask: TranscriptionAsk,
    heard: Callable[[Heard], None] = lambda final: None,
) -> FileHeard:
    wanted = RecordingAsk(
        language=ask.language,
        hot_words=ask.hot_words,
        endpoint_ms=ask.endpoint_ms,
        segmenter=ask.segmenter,
    )
    found = await parts.recordings.recognise(
        parts, spool.path, wanted, heard=lambda channel, final: heard(final)
    )
    parts.watch.heard("openai", found.seconds)
    return found


class _Events:
    """A transcription as server-sent events. What waits to be sent is bounded by the recording's length."""

    def __init__(self, parts: SpeechParts, spool: Spool, ask: TranscriptionAsk) -> None:
        self._finals: deque[Heard] = deque()
        self._news = asyncio.Event()
        self._work = asyncio.ensure_future(_recognise(parts, spool, ask, self._heard))
        self._work.add_done_callback(lambda _: self._news.set())
        self._said = 0

    async def begin(self) -> None:
        """Waits for the first words, so that a file which cannot be read is an HTTP error. Raises it."""
        try:
            await self._news.wait()
            if self._work.done():
                self._work.result()
        except BaseException:
            await self._stop()
            raise

    async def sent(self, kept: AsyncExitStack) -> AsyncIterator[str]:
        """The events; gives back what the request held."""
        async with kept:
            try:
                async for event in self._events():
                    yield event
            finally:
                await self._stop()

    async def _stop(self) -> None:
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)

    def _heard(self, final: Heard) -> None:
        self._finals.append(final)
        self._news.set()

    async def _events(self) -> AsyncIterator[str]:
        while True:
            while self._finals:
                yield self._delta(self._finals.popleft())
            if self._work.done():
                break
            self._news.clear()
            try:
                async with asyncio.timeout(_ALIVE_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                yield ": still listening\n\n"
        try:
            heard = self._work.result()
        except Exception as error:
            yield _event(error_body(plain(error)))
            return
        yield _event({"type": "transcript.text.done", "text": heard.channels[0].text, "usage": usage(heard)})

    def _delta(self, final: Heard) -> str:
        """Joined, the deltas are the text."""
        space = " " if self._said else ""
        self._said += 1
        return _event({"type": "transcript.text.delta", "delta": space + final.text})


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content)}\n\n"
