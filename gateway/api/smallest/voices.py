"""What Waves' clients ask beside speech: the voices and the models that there are."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request

from gateway.api.core.speech_parts import SpeechParts
from gateway.api.dialect import admitted, room
from gateway.api.smallest.errors import DESCRIBED, waves


def add(api: FastAPI, parts: SpeechParts) -> None:
    """The two addresses."""
    router = room(parts, waves, tag="smallest")

    @router.get("/waves/v1/{model}/get_voices", responses=DESCRIBED)
    async def voices(request: Request, model: str) -> dict[str, Any]:
        """The voices; every model name that clients were written with has the same ones."""
        await admitted(request, parts, None)
        languages = sorted({language.split("-")[0] for language in parts.speaks.languages})
        return {
            "voices": [
                {
                    "voiceId": voice,
                    "displayName": voice,
                    "tags": {
                        "language": languages,
                        "accent": "",
                        "gender": "",
                        "age": "",
                        "emotions": [],
                        "usecases": [],
                    },
                }
                for voice in parts.tts.voices
            ]
        }

    @router.get("/waves/v1/voice/get-all-models", responses=DESCRIBED)
    async def models(request: Request) -> dict[str, Any]:
        """The recogniser and the voice that serve here."""
        await admitted(request, parts, None)
        return {
            "models": [
                {"id": parts.asr.name, "type": "stt", "languages": list(parts.hears.languages)},
                {"id": parts.tts.name, "type": "tts", "languages": list(parts.speaks.languages)},
            ]
        }

    api.include_router(router)
