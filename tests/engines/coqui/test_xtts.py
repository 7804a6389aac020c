"""The XTTS engine's order of work, with a model that hums: real threads, no PyTorch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from engines.base import EngineBusy, EngineFailed, EngineRefused, EngineTimeout, SpeechChunk, TtsOptions
from engines.coqui.licence import CPML
from engines.coqui.settings import CoquiXttsSettings
from engines.coqui.xtts import CoquiXttsTts, Loaded
from engines.loudness import active_level
from engines.models.local import LocalModels
from engines.registry import TTS
from engines.traits import facts_of, tts_traits
from tests.fakes.tokens import HummingTokens

TEXT = "Hello and thank you for calling. How can I help you today?"


def run(
    test: Callable[[CoquiXttsTts, HummingTokens], Coroutine[Any, Any, None]],
    gate: bool = False,
    **settings: Any,
) -> None:
    model = HummingTokens()
    chosen = CoquiXttsSettings(**({"accept_licence": CPML} | settings))
    loaded = Loaded(model, {"anna": "anna", "bert": "bert"})

    async def main() -> None:
        tts = CoquiXttsTts(chosen, LocalModels(), lambda *_: loaded)
        try:
            await tts.warm_up()
            if gate:
                model.gate = threading.Event()
            await test(tts, model)
        finally:
            if model.gate:
                model.gate.set()
            await tts.aclose()

    asyncio.run(main())


async def say(tts: CoquiXttsTts, text: str = TEXT, **options: Any) -> list[SpeechChunk]:
    return [chunk async for chunk in tts.speak(text, TtsOptions(**options))]


def joined(chunks: list[SpeechChunk]) -> np.ndarray:
    return np.concatenate([chunk.pcm for chunk in chunks])


def test_speech_comes_in_growing_chunks_whole_and_level() -> None:
    async def test(tts: CoquiXttsTts, model: HummingTokens) -> None:
        chunks = await say(tts)
        sizes = [len(chunk.pcm) / 8000 for chunk in chunks]
        assert len(sizes) > 3 and sizes[0] < 0.6 < max(sizes)
        tokens = 2 * len("Hello and thank you for calling.") + 2 * len("How can I help you today?")
        assert sum(sizes) == pytest.approx(tokens * model.token + 0.24 + 0.28, abs=0.06)
        pcm = joined(chunks)
        assert active_level((pcm / 32767).astype(np.float32), 8000) == pytest.approx(-20, abs=1)
        assert np.abs(np.diff(pcm.astype(int))).max() < 2 * np.pi * 430 / 8000 * np.abs(pcm).max()
        assert tts.stats()["passages"] == 1 and tts.stats()["late_chunks"] == 0

    run(test)


def test_all_calls_step_together_in_one_thread() -> None:
    async def test(tts: CoquiXttsTts, model: HummingTokens) -> None:
        model.batches.clear()
        alone = joined(await say(tts))
        spoken = await asyncio.gather(*(say(tts) for _ in range(6)))
        assert all(np.array_equal(joined(chunks), alone) for chunks in spoken)
        assert max(model.batches) == 6
        assert len(model.threads) == 1 and threading.get_ident() not in model.threads

    run(test)


def test_closing_the_iterator_frees_the_row_before_the_next_token() -> None:
    async def test(tts: CoquiXttsTts, model: HummingTokens) -> None:
        assert model.gate is not None
        model.gate.set()
        chunks = tts.speak(TEXT * 5, TtsOptions())
        await anext(chunks)
        await chunks.aclose()  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)
        steps = len(model.batches)
        assert model.rows == {} and tts.stats()["rows"] == 0
        await asyncio.sleep(0.05)
        assert len(model.batches) == steps
        assert tts.stats()["cancelled"] == 1

    run(test, gate=True)


def test_a_passage_that_breaks_the_model_pays_alone() -> None:
    async def test(tts: CoquiXttsTts, model: HummingTokens) -> None:
        alone = joined(await say(tts))
        texts = [TEXT, "This one is broken.", TEXT]
        found = await asyncio.gather(*(say(tts, text) for text in texts), return_exceptions=True)
        assert isinstance(found[1], EngineFailed)
        for good in (found[0], found[2]):
            assert isinstance(good, list) and np.array_equal(joined(good), alone)
        assert model.rows == {}

    run(test)


def test_too_many_are_refused_as_busy_and_the_others_are_spoken() -> None:
    async def test(tts: CoquiXttsTts, model: HummingTokens) -> None:
        found = asyncio.gather(*(say(tts) for _ in range(6)), return_exceptions=True)
        await asyncio.sleep(0.1)
        assert model.gate is not None
        model.gate.set()
        spoken = await found
        busy = [told for told in spoken if isinstance(told, EngineBusy)]
        assert 1 <= len(busy) <= 5 and tts.stats()["refused_busy"] == len(busy)
        assert all(isinstance(told, list | EngineBusy) for told in spoken)

    run(test, gate=True, rows=1, waiting=2, patience=0.05)


def test_no_progress_is_a_timeout_and_closing_tells_who_waits() -> None:
    async def test(tts: CoquiXttsTts, model: HummingTokens) -> None:
        with pytest.raises(EngineTimeout, match=r"no speech 0.1 s"):
            await say(tts)
        waiting = asyncio.create_task(say(tts, ahead=5.0))
        await asyncio.sleep(0.02)
        assert model.gate is not None
        asyncio.get_running_loop().call_later(0.02, model.gate.set)
        await tts.aclose()
        with pytest.raises(EngineFailed):
            await waiting
        with pytest.raises(EngineFailed):
            await say(tts)

    run(test, gate=True, deadline=0.1)


def test_voice_speed_language_and_rate_are_honoured_or_refused() -> None:
    async def test(tts: CoquiXttsTts, model: HummingTokens) -> None:
        normal, fast = joined(await say(tts)), joined(await say(tts, speed=2.0, voice="bert"))
        assert len(fast) == pytest.approx(len(normal) / 2, rel=0.05)
        assert len(joined(await say(tts, sample_rate=16000))) == pytest.approx(2 * len(normal), rel=0.01)
        assert await say(tts, language="de-DE") and await say(tts, text="  ") == []
        for options, reason in (
            ({"voice": "carl"}, "there are anna, bert"),
            ({"language": "fr"}, "speaks en, de"),
            ({"speed": 3.0}, "0.5 to 2.0"),
            ({"sample_rate": 4000}, "8000 to 48000"),
            ({"text": "x" * 5001}, "at most 5000"),
        ):
            with pytest.raises(EngineRefused, match=reason):
                await say(tts, **options)

    run(test)


def test_it_says_what_it_is_and_under_which_terms() -> None:
    async def test(tts: CoquiXttsTts, model: HummingTokens) -> None:
        assert not tts_traits(tts).word_times and tts_traits(tts).languages == ("en", "de")
        assert facts_of(tts) == {"model": "/voices/x", "licence": "CPML-1.0"}
        assert tts.voices == ("anna", "bert")

    run(test, model="/voices/x")
    assert TTS["coqui_xtts"].factory == "CoquiXttsTts" and TTS["coqui_xtts"].models


def test_nothing_is_fetched_before_the_licence_is_accepted() -> None:
    asked: list[str] = []

    def load(settings: CoquiXttsSettings, models: object) -> Loaded:
        asked.append(settings.model)
        raise AssertionError

    async def main() -> None:
        tts = CoquiXttsTts(CoquiXttsSettings(model="https://example.com/xtts"), LocalModels(), load)
        for attempt in (tts.warm_up, lambda: say(tts)):
            with pytest.raises(EngineRefused, match="tts.settings.accept_licence"):
                await attempt()
        await tts.aclose()

    asyncio.run(main())
    assert asked == []
