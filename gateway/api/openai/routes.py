"""OpenAI's room: its routes on the API."""

from __future__ import annotations

from fastapi import FastAPI

from gateway.api.core.speech_parts import SpeechParts
from gateway.api.dialect import room
from gateway.api.openai.errors import openai_error
from gateway.api.openai.realtime import add_realtime
from gateway.api.openai.speech import add_speech
from gateway.api.openai.transcriptions import add_transcriptions


def add_routes(api: FastAPI, parts: SpeechParts) -> None:
    """Adds everything under `/v1/audio`, and `/v1/realtime`."""
    router = room(parts, openai_error, tag="OpenAI")
    add_transcriptions(router, parts)
    add_speech(router, parts)
    add_realtime(router, parts)
    api.include_router(router)
