"""The voice behind OpenAI's speech, against a double of the service that has every fault."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engines import registry
from engines.base import EngineBusy, EngineError, EngineFailed, EngineRefused, EngineTimeout, TtsOptions
from engines.hosted.openai_tts import OpenAiTts, OpenAiTtsSettings
from tests.engines.riva.fakes import run
from tests.fakes.openai_server import OpenAiServer, openai

FAST: dict[str, Any] = {
    "first_seconds": 0.3,
    "gap_seconds": 0.3,
    "connect_seconds": 0.5,
    "hold_off_seconds": 0.01,
}


def voice(server: OpenAiServer, **settings: Any) -> OpenAiTts:
    return OpenAiTts(OpenAiTtsSettings(url=server.url, **{**FAST, **settings}))


async def spoken(tts: OpenAiTts, text: str, options: TtsOptions | None = None) -> np.ndarray[Any, Any]:
    chunks = [chunk.pcm async for chunk in tts.speak(text, options or TtsOptions())]
    return np.concatenate(chunks) if chunks else np.zeros(0, np.int16)


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
def test_text_becomes_samples_at_the_legs_rate(rate: int) -> None:
    async def main() -> None:
        async with openai() as server:
            tts = voice(server, instructions="Be calm.")
            pcm = await spoken(tts, "x" * 100, TtsOptions(sample_rate=rate, voice="nova", speed=1.25))
            assert abs(len(pcm) - rate) <= 2
            middle = pcm[rate // 4 : -rate // 4].astype(int)
            assert abs(middle - 1000).max() <= 3  # a constant stays one: torn samples would not
            assert server.requests == [{
                "path": "/v1/audio/speech", "model": "gpt-4o-mini-tts", "input": "x" * 100, "voice": "nova",
                "response_format": "pcm", "speed": 1.25, "instructions": "Be calm.",
            }]  # fmt: skip
            await tts.aclose()

    run(main())


def test_it_comes_as_it_is_made_and_a_cancel_frees_its_place() -> None:
    async def main() -> None:
        async with openai(stall=True) as server:
            tts = voice(server, max_passages=1)
            speech = tts.speak("hello world " * 10, TtsOptions())
            assert len((await anext(speech)).pcm)
            with pytest.raises(EngineBusy):
                await spoken(tts, "x")
            await speech.aclose()  # type: ignore[attr-defined]  # it is a generator
            server.stall = False
            assert len(await spoken(tts, "ten chars.")) == 800
            await tts.aclose()

    run(main())


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ({"status": 401}, EngineRefused),
        ({"status": 400}, EngineRefused),
        ({"status": 429}, EngineBusy),
        ({"status": 500}, EngineFailed),
        ({"deaf": True}, EngineTimeout),
        ({"stall": True}, EngineTimeout),
        ({"cut": True}, EngineFailed),
        ({"garbage": b'{"oops": 1}', "kind": "application/json"}, EngineFailed),
        ({"garbage": b"RIFF" + bytes(2000)}, EngineFailed),
        ({"garbage": b"ID3" + bytes(2000)}, EngineFailed),
        ({"garbage": bytes(2001)}, EngineFailed),
        ({"kind": "audio/mpeg"}, EngineFailed),
    ],
)
def test_every_failure_ends_its_passage_alone_and_says_what_it_is(
    script: dict[str, Any], kind: type[EngineError]
) -> None:
    async def main() -> None:
        async with openai(**script) as server:
            tts = voice(server)
            with pytest.raises(EngineError) as told:
                await spoken(tts, "ten chars.")
            assert type(told.value) is kind
            for name in script:
                setattr(server, name, type(script[name])())
            tts._standing._until = 0.0
            assert len(await spoken(tts, "ten chars.")) == 800
            assert tts.stats()["running"] == 0
            await tts.aclose()

    run(main())


def test_retry_after_is_honoured_and_bounds_hold() -> None:
    async def main() -> None:
        async with openai(status=429, headers={"retry-after": "60"}) as server:
            tts = voice(server, longest_seconds=1.0)
            for _ in range(2):
                with pytest.raises(EngineBusy):
                    await spoken(tts, "x")
            assert len(server.requests) == 1 and tts.down
            server.status, tts._standing._until = 0, 0.0
            with pytest.raises(EngineFailed, match="more than 1 s"):
                await spoken(tts, "x" * 500)
            with pytest.raises(EngineRefused, match="speed"):
                await spoken(tts, "x", TtsOptions(speed=9.0))
            with pytest.raises(EngineRefused, match="characters"):
                await spoken(tts, "x" * 5000)
            assert len(await spoken(tts, " ")) == 0
            await tts.warm_up()
            assert tts.data == "cloud" and tts.voices == ("alloy",)
            await tts.aclose()

    run(main())


def test_it_is_in_the_registry() -> None:
    async def main() -> None:
        assert registry.tts("openai").name == "openai"

    run(main())
