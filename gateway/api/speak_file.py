"""POST `/v1/speak`, which Deepgram and Smallest's self-host class both claim.

A body with `voice`, or an address without `model`, is Smallest's and gets a WAV file; all else is Deepgram's.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from fastapi import FastAPI, Request, Response

from engines.base import TtsOptions
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.core.voices import language_of, voice_for
from gateway.api.deepgram import errors as deepgram_errors
from gateway.api.deepgram.query import Query
from gateway.api.deepgram.shape import Model
from gateway.api.deepgram.speak_live import read_speed
from gateway.api.dialect import read_body, read_json, request_id, room, served
from gateway.api.listen_file import smallest_union, union
from gateway.api.spoken import SpeakAsk, speak
from gateway.audio.encode import Codec, Container, SpeechFormat
from gateway.errors import BodyTooLarge, ParameterMissing, RequestUnfit
from gateway.keys.key import Scope
from gateway.problems import nearest

_KNOWN = (
    "model", "encoding", "container", "sample_rate", "bit_rate", "speed", "tag", "mip_opt_out", "version",
)  # fmt: skip
_KEYS = ("api_key", "token", "access_token")
_LONGEST = 2400
"""Characters of one text, by Deepgram's contract."""
_RATES = {
    Codec.LINEAR16: 24000, Codec.MULAW: 8000, Codec.ALAW: 8000, Codec.MP3: 24000, Codec.OPUS: 48000,
    Codec.FLAC: 24000, Codec.AAC: 24000,
}  # fmt: skip
_WAVS = (Codec.LINEAR16, Codec.MULAW, Codec.ALAW)
_DESCRIBED: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}} for name in _KNOWN
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"text": {"type": "string"}, "voice": {"type": "string"}},
                    "required": ["text"],
                }
            },
            "text/plain": {"schema": {"type": "string"}},
        },
    },
}
_SOUND: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The sound",
        "content": {"audio/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def add(api: FastAPI, parts: SpeechParts) -> None:
    """The address."""
    router = room(parts, union, tag="speak")

    @router.post(
        "/v1/speak",
        openapi_extra=_DESCRIBED,
        response_class=Response,
        responses={**_SOUND, **deepgram_errors.DESCRIBED},
    )
    async def speak_file(request: Request) -> Response:
        """A text as sound. The first of it comes as soon as the first sentence is spoken."""
        async with AsyncExitStack() as entered:
            await entered.enter_async_context(served(request, parts, Scope.SPEAK))
            body = await _body(request, parts)
            if "voice" in body or not request.query_params.get("model"):
                request.state.shape = smallest_union
                ask, api_name = _smallest(parts, body), "smallest"
            else:
                ask, api_name = _deepgram(parts, body, request.query_params), "deepgram"
            return await speak(request, parts, ask, api_name, _headers(request, parts, ask), entered)

    api.include_router(router)


async def _body(request: Request, parts: SpeechParts) -> Mapping[str, Any]:
    octets = await read_body(request, parts.limits.text_bytes)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "text/plain":
        return {"text": octets.decode(errors="replace")}
    body = read_json(octets)
    if "url" in body:
        raise RequestUnfit("texts are taken from the body only", field="url")
    return body


def _deepgram(parts: SpeechParts, body: Mapping[str, Any], query: Query) -> SpeakAsk:
    for name in query.keys():
        if name not in _KNOWN and name not in _KEYS:
            raise RequestUnfit(f"is not known; {nearest(name, _KNOWN)}", field=name[:60])
    text, model = text_of(body, "text", _LONGEST), next(iter(query.getlist("model")), "")
    form = _format(query)
    options = TtsOptions(
        sample_rate=form.sample_rate,
        voice=voice_for(model, parts.tts),
        language=language_of(model, parts.speaks.languages, parts.language),
        speed=read_speed(query),
    )
    return SpeakAsk(text, options, form)


def _smallest(parts: SpeechParts, body: Mapping[str, Any]) -> SpeakAsk:
    known = ("text", "voice")
    for name in body:
        if name not in known:
            raise RequestUnfit(f"is not known; {nearest(name, known)}", field=name[:60])
    text = text_of(body, "text", parts.limits.text_chars)
    voice = body.get("voice") or ""
    if not isinstance(voice, str):
        raise RequestUnfit("must be a string", field="voice")
    form = SpeechFormat(Codec.LINEAR16, _RATES[Codec.LINEAR16], Container.WAV)
    options = TtsOptions(form.sample_rate, voice_for(voice, parts.tts), parts.language)
    return SpeakAsk(text, options, form)


def text_of(body: Mapping[str, Any], name: str, longest: int) -> str:
    """The text to speak. Raises `ParameterMissing`, `BodyTooLarge` or `RequestUnfit`."""
    text = body.get(name)
    if text is None or text == "":
        raise ParameterMissing("a text to speak is needed", field=name)
    if not isinstance(text, str):
        raise RequestUnfit("must be a string", field=name)
    if not text.strip():
        raise ParameterMissing("a text to speak is needed; this one is blank", field=name)
    if len(text) > longest:
        told = f"{len(text)} characters; at most {longest} are spoken"
        raise BodyTooLarge(told, most_bytes=longest, field=name)
    return text


def _format(query: Query) -> SpeechFormat:
    codec = _choice(query, "encoding", Codec, Codec.MP3)
    usual = Container.WAV if codec in _WAVS else Container.OGG if codec is Codec.OPUS else Container.NONE
    return SpeechFormat(
        Codec(codec),
        _whole(query, "sample_rate", _RATES[Codec(codec)]),
        Container(_choice(query, "container", Container, usual)),
        _whole(query, "bit_rate", 0),
    )


def _choice(query: Query, name: str, known: type[Codec] | type[Container], default: str) -> str:
    text = next(iter(query.getlist(name)), "").lower() or default
    if text not in [choice.value for choice in known]:
        raise RequestUnfit(f"{text[:40]!r} is not made here; choose {', '.join(known)}", field=name)
    return text


def _whole(query: Query, name: str, default: int) -> int:
    text = next(iter(query.getlist(name)), "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit():
        raise RequestUnfit("must be a whole number", field=name)
    return int(text[:9])


def _headers(request: Request, parts: SpeechParts, ask: SpeakAsk) -> dict[str, str]:
    model = Model(ask.options.voice or parts.tts.name, parts.version)
    return {
        "dg-request-id": request_id(request),
        "X-Request-Id": request_id(request),
        "dg-model-name": model.name,
        "dg-model-uuid": model.model_uuid,
        "dg-char-count": str(len(ask.text)),
    }
