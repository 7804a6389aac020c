"""POST `/waves/v1/tts` and `/waves/v1/tts/live`: a text as sound, at once or as server-sent events."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from fastapi import FastAPI, Request, Response

from gateway.api.core.speech_parts import SpeechParts
from gateway.api.dialect import read_body, read_json, request_id, room, served
from gateway.api.smallest.errors import DESCRIBED, waves
from gateway.api.smallest.speak_ask import FIELDS, need_text, read_waves
from gateway.api.spoken import Events, SpeakAsk, speak
from gateway.keys.key import Scope

_DESCRIBED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object", "properties": FIELDS, "required": ["text", "voice_id"]}
            }
        },
    }
}


def add(api: FastAPI, parts: SpeechParts) -> None:
    """The two addresses."""
    router = room(parts, waves, tag="smallest")

    @router.post("/waves/v1/tts", openapi_extra=_DESCRIBED, response_class=Response, responses=DESCRIBED)
    async def tts(request: Request) -> Response:
        """The sound: raw PCM unless `output_format` says otherwise."""
        return await _spoken(request, parts, None)

    @router.post("/waves/v1/tts/live", openapi_extra=_DESCRIBED, response_class=Response, responses=DESCRIBED)
    async def live(request: Request) -> Response:
        """The same as server-sent events: `audio` with base64, then `done`."""
        return await _spoken(request, parts, _events)

    api.include_router(router)


async def _spoken(request: Request, parts: SpeechParts, events: Events | None) -> Response:
    async with AsyncExitStack() as entered:
        await entered.enter_async_context(served(request, parts, Scope.SPEAK))
        body = read_json(await read_body(request, parts.limits.text_bytes))
        ask = need_text(read_waves(body, parts), parts.limits.text_chars)
        headers = {"X-Session-Id": request_id(request), "X-Request-Id": request_id(request)}
        if ask.session_id:
            headers["X-External-Session-Id"] = _plain(ask.session_id)
        if ask.request_id:
            headers["X-External-Request-Id"] = _plain(ask.request_id)
        wanted = SpeakAsk(ask.text, ask.options, ask.format)
        return await speak(request, parts, wanted, "smallest", headers, entered, events=events)


async def _events(sound: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for octets in sound:
        if octets:
            told = json.dumps({"audio": base64.b64encode(octets).decode()})
            yield f"event: audio\ndata: {told}\n\n".encode()
    yield b'data: {"done":true}\n\n'


def _plain(name: str) -> str:
    """What a header may hold."""
    return "".join(char for char in name if char.isascii() and char.isprintable())
