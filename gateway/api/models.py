"""GET `/v1/models`: one answer that OpenAI's and Deepgram's clients both read, and what is not honoured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request

from gateway.api.core.speech_parts import SpeechParts
from gateway.api.deepgram import query as deepgram_listen
from gateway.api.deepgram.shape import Model
from gateway.api.dialect import ErrorShape, admitted, room
from gateway.api.openai import speech_request, transcription_request
from gateway.api.openai.names import HEARING, SPEAKING
from gateway.api.smallest import query as pulse
from gateway.errors import ModelUnknown

_CREATED = 1_764_000_000
"""A date is asked for, and engines have none: one for all."""


def add(api: FastAPI, parts: SpeechParts, shape: ErrorShape) -> None:
    """The two addresses."""
    router = room(parts, shape, tag="models")

    @router.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        """Everything that is served here, for clients of OpenAI (`data`) and of Deepgram (`stt`, `tts`).

        `parameters` lists what each model honours, refuses, and serves without, by API.
        """
        await admitted(request, parts, None)
        hearing, speaking = _hearing(parts), _speaking(parts)
        listed = [_listed(model) for model in (*hearing, *speaking)]
        return {"object": "list", "data": listed, "stt": hearing, "tts": speaking}

    @router.get("/v1/models/{model_id}", responses={404: {"description": "No model of that id"}})
    async def model(request: Request, model_id: str) -> dict[str, Any]:
        """One model, by its name or its UUID."""
        await admitted(request, parts, None)
        for found in (*_hearing(parts), *_speaking(parts)):
            if model_id in (found["name"], found["uuid"]):
                return {**found, **_listed(found)}
        raise ModelUnknown(f"{model_id[:60]!r} is not served here", field="model")

    api.include_router(router)


def _listed(model: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": model["name"], "object": "model", "created": _CREATED, "owned_by": "offhook"}


def _hearing(parts: SpeechParts) -> Sequence[dict[str, Any]]:
    model, traits = Model(parts.asr.name, parts.version), parts.hears
    return [
        {
            "name": model.name,
            "canonical_name": model.name,
            "architecture": model.name,
            "languages": list(traits.languages),
            "version": model.version,
            "uuid": model.model_uuid,
            "batch": True,
            "streaming": True,
            "formatted_output": traits.punctuation,
            "word_times": "recognised" if traits.word_times else "estimated",
            "shortest_endpointing_ms": parts.limits.shortest_endpoint_ms,
            "aliases": {"openai": list(HEARING)},
            "parameters": {
                "deepgram": deepgram_listen.abilities(traits),
                "openai": transcription_request.abilities(traits),
                "smallest": pulse.abilities(),
            },
        }
    ]


def _speaking(parts: SpeechParts) -> Sequence[dict[str, Any]]:
    found = []
    for voice in parts.tts.voices or (parts.tts.name,):
        model = Model(voice, parts.version)
        found.append(
            {
                "name": model.name,
                "canonical_name": model.name,
                "architecture": parts.tts.name,
                "languages": list(parts.speaks.languages),
                "version": model.version,
                "uuid": model.model_uuid,
                "aliases": {"openai": list(SPEAKING)},
                "parameters": {"openai": speech_request.ABILITIES},
                "metadata": {"accent": "", "tags": [], "word_times": parts.speaks.word_times},
            }
        )
    return found
