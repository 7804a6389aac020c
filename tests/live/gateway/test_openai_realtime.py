"""The unmodified `openai` client's realtime socket against the real recogniser."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest

from media.resample import resample
from media.wav import read_mono
from tests.live.gateway.listening import SPEECH, prompt, same_words
from tests.live.gateway.test_openai_client import Server

pytestmark = pytest.mark.live

NAME = "tt-monkeysintro"
_PIECE = 24000 // 10


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = Server()
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


def transcribed(url: str, detection: dict[str, Any] | None, *, commit: bool) -> tuple[list[str], str]:
    """Kinds of events until the words came, and the words."""

    async def main() -> tuple[list[str], str]:
        silence = np.zeros(24000, np.int16)
        sound = np.concatenate([resample(read_mono(SPEECH / f"{NAME}.wav", 16000), 16000, 24000), silence])
        client = openai.AsyncOpenAI(base_url=url, api_key="none")
        kinds: list[str] = []
        async with client, asyncio.timeout(30):
            ask = client.realtime.connect(model="gpt-4o-transcribe", extra_query={"intent": "transcription"})
            async with ask as connection:
                session: Any = {
                    "type": "transcription",
                    "audio": {
                        "input": {
                            "format": {"type": "audio/pcm", "rate": 24000},
                            "transcription": {"model": "gpt-4o-transcribe", "language": "en"},
                            "turn_detection": detection,
                        }
                    },
                }
                await connection.session.update(session=session)
                for place in range(0, len(sound), _PIECE):
                    piece = base64.b64encode(sound[place : place + _PIECE].tobytes()).decode()
                    await connection.input_audio_buffer.append(audio=piece)
                if commit:
                    await connection.input_audio_buffer.commit()
                async for event in connection:
                    kinds.append(event.type)
                    assert event.type != "error", event
                    if event.type == "conversation.item.input_audio_transcription.completed":
                        return kinds, event.transcript
        raise AssertionError(kinds)

    return asyncio.run(main())


def test_a_turn_that_ends_by_silence(url: str) -> None:
    kinds, text = transcribed(url, {"type": "server_vad", "silence_duration_ms": 600}, commit=False)
    assert same_words(prompt(NAME).text, text) >= 0.8
    assert kinds[:3] == ["session.created", "session.updated", "input_audio_buffer.speech_started"]
    assert kinds.index("input_audio_buffer.committed") > kinds.index("input_audio_buffer.speech_stopped")


def test_a_turn_that_the_client_commits(url: str) -> None:
    kinds, text = transcribed(url, None, commit=True)
    assert same_words(prompt(NAME).text, text) >= 0.8
    assert "input_audio_buffer.speech_started" not in kinds
