"""OpenAI's room with scripted engines, asked without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import httpx
from fastapi import FastAPI

from engines.base import Asr, Tts
from gateway.api.core.door import Door
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.openai.routes import add_routes
from gateway.audio.files import AudioFiles
from gateway.audio.settings import AudioSettings, FetchSettings
from gateway.batch.recordings import Recordings
from gateway.batch.settings import BatchSettings
from gateway.keys.limits import MemoryLimits
from tests.fakes.asr import ScriptedAsr
from tests.fakes.tts import ToneTts
from tests.fakes.voices import bench, sound
from tests.gateway.audio.files import wav

T = TypeVar("T")

SAYS = [(0.5, 1.5, "Hello there."), (3.0, 3.6, "Stop & go.")]
SOUND = sound([(0.5, 1.5), (3.0, 3.6)], 5.0, 16000)
TALK = wav(SOUND, 16000)
"""Five seconds in which both is said."""


def wall() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


def recordings(**limits: float) -> Recordings:
    settings = AudioSettings(decoders=1, fetch=FetchSettings(allow=("127.0.0.1/32",)), **limits)  # type: ignore[arg-type]
    return Recordings(AudioFiles(settings), BatchSettings())


def run(
    ask: Callable[[httpx.AsyncClient], Awaitable[T]],
    *,
    asr: Asr | None = None,
    tts: Tts | None = None,
    files: Recordings | None = None,
    places: int = 10,
) -> T:
    async def main() -> T:
        parts = SpeechParts(
            asr=asr or ScriptedAsr(SAYS, takes=0.01),
            tts=tts or ToneTts(takes=0.0),
            door=Door(None, MemoryLimits(asyncio.get_running_loop().time), wall, places=places),
            bench=bench(),
            wall=wall,
            new_id=lambda: "req-1",
            recordings=files or recordings(),
        )
        api = FastAPI()
        add_routes(api, parts)
        transport = httpx.ASGITransport(app=api, raise_app_exceptions=False)
        try:
            async with asyncio.timeout(30):
                async with httpx.AsyncClient(transport=transport, base_url="http://gw") as client:
                    found = await ask(client)
                assert parts.door.taken == 0
                return found
        finally:
            await parts.recordings.aclose()
            await parts.bench.aclose()

    return asyncio.run(main())
