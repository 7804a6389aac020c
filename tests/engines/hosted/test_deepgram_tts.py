"""The voice behind Deepgram's protocol, against a double of the service that has every fault."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines import registry
from engines.base import EngineBusy, EngineError, EngineFailed, EngineRefused, EngineTimeout, TtsOptions
from engines.hosted.deepgram_tts import DeepgramTts, DeepgramTtsSettings, pieces
from tests.engines.riva.fakes import run, until
from tests.fakes.deepgram_server import LOUD, DeepgramServer, deepgram

FAST: dict[str, Any] = {
    "first_seconds": 0.3,
    "gap_seconds": 0.3,
    "connect_seconds": 0.5,
    "hold_off_seconds": 0.01,
}


def voice(server: DeepgramServer, **settings: Any) -> DeepgramTts:
    return DeepgramTts(DeepgramTtsSettings(url=server.url, **{**FAST, **settings}))


async def spoken(tts: DeepgramTts, text: str, options: TtsOptions | None = None) -> np.ndarray[Any, Any]:
    chunks = [chunk.pcm async for chunk in tts.speak(text, options or TtsOptions())]
    return np.concatenate(chunks) if chunks else np.zeros(0, np.int16)


def test_text_becomes_whole_samples_and_the_connection_serves_again() -> None:
    async def main() -> None:
        async with deepgram() as server:
            tts = voice(server)
            await tts.warm_up()
            for _ in range(3):
                pcm = await spoken(tts, "ten chars.")
                assert len(pcm) == 800 and (pcm == LOUD).all()
            assert server.connections == 1
            assert len(await spoken(tts, "  ")) == 0
            assert tts.stats()["passages"] == 3 and tts.stats()["running"] == 0
            await tts.aclose()
            await tts.aclose()
            await until(lambda: server.live == 0)
            assert server.texts[-1] == json.dumps({"type": "Close"})

    run(main())


def test_rate_voice_and_speed_are_asked_for_and_other_rates_resampled() -> None:
    async def main() -> None:
        async with deepgram() as server:
            tts = voice(server, training_opt_out=False)
            pcm = await spoken(tts, "x" * 100, TtsOptions(sample_rate=44100, voice="aura-other", speed=1.5))
            assert server.queries[0] == {
                "model": ["aura-other"], "encoding": ["linear16"], "sample_rate": ["48000"], "speed": ["1.5"],
            }  # fmt: skip
            assert abs(len(pcm) - 44100) <= 2
            await tts.aclose()

    run(main())


def test_a_cancelled_passage_takes_its_connection_with_it() -> None:
    async def main() -> None:
        async with deepgram() as server:
            tts = voice(server)
            speech = tts.speak("to be cut", TtsOptions())
            await anext(speech)
            await speech.aclose()  # type: ignore[attr-defined]  # it is a generator
            await until(lambda: server.live == 0)
            assert len(await spoken(tts, "ten chars.")) == 800
            assert server.connections == 2
            await tts.aclose()

    run(main())


def test_a_spare_connection_that_died_is_not_used() -> None:
    async def main() -> None:
        async with deepgram() as server:
            tts = voice(server)
            await tts.warm_up()
            tts._spare[0][2].transport.abort()
            await asyncio.sleep(0.05)
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
        ({"cut_after": 0.1}, EngineFailed),
        ({"close_code": 1008}, EngineRefused),
        ({"close_code": 1009}, EngineRefused),
        ({"close_code": 1011}, EngineFailed),
        ({"garbage": "nothing of theirs"}, EngineFailed),
        ({"garbage": json.dumps({"type": "Error", "description": "no"})}, EngineFailed),
    ],
)
def test_every_failure_ends_its_passage_alone_and_says_what_it_is(
    script: dict[str, Any], kind: type[EngineError]
) -> None:
    async def main() -> None:
        async with deepgram(**script) as server:
            tts = voice(server)
            with pytest.raises(EngineError) as told:
                await spoken(tts, "ten chars.")
            assert type(told.value) is kind
            for name in script:
                setattr(server, name, type(script[name])())
            tts._standing._until = 0.0
            assert len(await spoken(tts, "ten chars.")) == 800
            await tts.aclose()

    run(main())


def test_nobody_there_fails_within_the_deadline() -> None:
    async def main() -> None:
        tts = DeepgramTts(DeepgramTtsSettings(url="ws://127.0.0.1:1", **{**FAST, "hold_off_seconds": 5.0}))
        with pytest.raises(EngineFailed):
            await tts.warm_up()
        with pytest.raises(EngineFailed):
            await spoken(tts, "hello")
        assert tts.down
        await tts.aclose()

    run(main())


def test_bounds() -> None:
    async def main() -> None:
        async with deepgram() as server:
            tts = voice(server, max_passages=1, longest_seconds=1.0)
            with pytest.raises(EngineFailed, match="more than 1 s"):
                await spoken(tts, "x" * 500)
            with pytest.raises(EngineRefused, match="speed"):
                await spoken(tts, "x", TtsOptions(speed=3.0))
            with pytest.raises(EngineRefused, match="sample rate"):
                await spoken(tts, "x", TtsOptions(sample_rate=4000))
            speech = tts.speak("one two three", TtsOptions())
            await anext(speech)
            with pytest.raises(EngineBusy):
                await spoken(tts, "x")
            await speech.aclose()  # type: ignore[attr-defined]  # it is a generator
            assert tts.data == "cloud" and not tts.traits.word_times and tts.voices == ("aura-2-thalia-en",)
            await tts.aclose()

    run(main())


@given(st.text(max_size=6000))
def test_long_text_is_cut_into_pieces_that_lose_nothing(text: str) -> None:
    cut = pieces(text)
    assert all(0 < len(piece) <= 1900 for piece in cut)
    assert "".join("".join(cut).split()) == "".join(text.split())


def test_it_is_in_the_registry() -> None:
    assert registry.tts("deepgram").name == "deepgram"
