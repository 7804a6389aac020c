"""Smallest's room."""

from __future__ import annotations

from fastapi import FastAPI

from gateway.api.core.speech_parts import SpeechParts
from gateway.api.smallest import listen_file, listen_live, speak_file, speak_live, voices


def add_routes(api: FastAPI, parts: SpeechParts) -> None:
    """Everything of Smallest's; the addresses that Deepgram claims too are beside the rooms."""
    listen_live.add(api, parts)
    speak_live.add(api, parts)
    listen_file.add(api, parts)
    speak_file.add(api, parts)
    voices.add(api, parts)
