"""Deepgram's room."""

from __future__ import annotations

from fastapi import FastAPI

from gateway.api.core.speech_parts import SpeechParts
from gateway.api.deepgram import listen_live, speak_live, status


def add_routes(api: FastAPI, parts: SpeechParts) -> None:
    """Everything of Deepgram's; the addresses that others claim too are in `gateway.api.shared`."""
    listen_live.add(api, parts)
    speak_live.add(api, parts)
    status.add(api, parts)
