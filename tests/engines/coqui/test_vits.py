"""The VITS engine's order of work, with a model that hums: real threads, no PyTorch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from engines.base import EngineBusy, EngineFailed, EngineRefused, EngineTimeout, SpeechChunk, TtsOptions
from engines.coqui.gather import Gatherer
from engines.coqui.mail import Mail
from engines.coqui.settings import CoquiVitsSettings
from engines.coqui.vits import CoquiVitsTts
from engines.coqui.vits_bench import Order, VitsBench
from engines.loudness import active_level
from engines.models.local import LocalModels
from engines.traits import facts_of, tts_traits
from tests.fakes.tokens import HummingSentences, HumSentence

TEXT = "Hello 👋, you owe $45.20. Please pay by May 3rd, thank you!"


def run(
    test: Callable[[CoquiVitsTts, HummingSentences], Coroutine[Any, Any, None]],
    gate: bool = False,
    **settings: Any,
) -> None:
    model = HummingSentences()

    async def main() -> None:
        tts = CoquiVitsTts(CoquiVitsSettings(**settings), LocalModels(), lambda *_: model)
        try:
            await tts.warm_up()
            model.batches.clear()
            if gate:
                model.gate = threading.Event()
            await test(tts, model)
        finally:
            if model.gate:
                model.gate.set()
            await tts.aclose()

    asyncio.run(main())


async def say(tts: CoquiVitsTts, text: str = TEXT, **options: Any) -> list[SpeechChunk]:
    return [chunk async for chunk in tts.speak(text, TtsOptions(**options))]


def joined(chunks: list[SpeechChunk]) -> np.ndarray:
    return np.concatenate([chunk.pcm for chunk in chunks])


def test_stretches_come_one_by_one_level_with_every_word_in_its_place() -> None:
    async def test(tts: CoquiVitsTts, model: HummingSentences) -> None:
        chunks = await say(tts)
        words = [word for chunk in chunks for word in chunk.words]
        assert len(chunks) == 2 and " ".join(word.text for word in words) == TEXT
        times = [time for word in words for time in (word.start, word.end)]
        assert times == sorted(times)
        begins = 0.0
        for chunk in chunks:
            ends = begins + len(chunk.pcm) / 8000
            assert all(begins <= word.start < word.end <= ends for word in chunk.words)
            wave = (chunk.pcm / 32767).astype(np.float32)
            assert active_level(wave, 8000) == pytest.approx(-20, abs=1)
            assert abs(int(chunk.pcm[0])) < 60
            begins = ends
        assert tts.stats()["passages"] == 1

    run(test)


def test_sentences_of_several_calls_are_spoken_together() -> None:
    async def test(tts: CoquiVitsTts, model: HummingSentences) -> None:
        alone = joined(await say(tts))
        spoken = await asyncio.gather(*(say(tts) for _ in range(5)))
        assert all(np.array_equal(joined(chunks), alone) for chunks in spoken)
        assert max(len(batch) for batch in model.batches) >= 4
        assert len(model.threads) == 1 and threading.get_ident() not in model.threads

    run(test, gather=0.05)


def test_a_sentence_that_breaks_the_model_pays_alone() -> None:
    async def test(tts: CoquiVitsTts, model: HummingSentences) -> None:
        texts = ["It works fine.", "It is broken.", "It works well."]
        found = await asyncio.gather(*(say(tts, text) for text in texts), return_exceptions=True)
        assert [type(told) for told in found] == [list, EngineFailed, list]
        assert tts.stats()["failed"] == 1

    run(test, gather=0.05)


def test_a_cancelled_sentence_is_not_spoken() -> None:
    async def test(tts: CoquiVitsTts, model: HummingSentences) -> None:
        assert model.gate is not None
        first = asyncio.create_task(say(tts, "First."))
        await asyncio.sleep(0.03)
        second = asyncio.create_task(say(tts, "Second, which nobody wants to hear any more."))
        await asyncio.sleep(0.03)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        model.gate.set()
        await first
        assert [text for batch in model.batches for text in batch] == ["First."]
        assert tts.stats()["cancelled"] == 1 and tts.stats()["waiting"] == 0

    run(test, gate=True, gather=0)


def test_too_many_are_refused_as_busy_but_not_who_is_heard_already() -> None:
    async def main() -> None:
        bench = VitsBench(HummingSentences(), Gatherer(batch=1, window=0.0), 2, 60.0, lambda: 0.0)

        def order(text: str, playing: bool = False) -> Order:
            return Order(HumSentence((0,) * len(text), 1, text, 1.0), 0.0, playing, Mail())

        first, second, surplus, heard = (
            order("one"),
            order("two"),
            order("three"),
            order("four", playing=True),
        )
        for each in (first, second, surplus, heard):
            bench.take(each)
        with pytest.raises(EngineBusy, match="too many"):
            await surplus.mail.get()
        while bench.turn(0.0) is not None:
            pass
        assert [each for each in (first, second, heard) if await each.mail.get() is None] == []
        assert bench.sentences == 3

    asyncio.run(main())


def test_no_progress_is_a_timeout_and_closing_tells_who_waits() -> None:
    async def test(tts: CoquiVitsTts, model: HummingSentences) -> None:
        with pytest.raises(EngineTimeout, match=r"no speech 0.1 s"):
            await say(tts)
        waiting = asyncio.create_task(say(tts, ahead=5.0))
        await asyncio.sleep(0.05)
        assert model.gate is not None
        asyncio.get_running_loop().call_later(0.02, model.gate.set)
        await tts.aclose()
        with pytest.raises(EngineFailed):
            await waiting

    run(test, gate=True, deadline=0.1, gather=0)


def test_voice_speed_and_rate_are_honoured_or_refused() -> None:
    async def test(tts: CoquiVitsTts, model: HummingSentences) -> None:
        normal, fast = joined(await say(tts)), joined(await say(tts, speed=2.0, voice="bert"))
        assert len(fast) == pytest.approx(len(normal) / 2, rel=0.05)
        assert len(joined(await say(tts, sample_rate=16000))) == pytest.approx(2 * len(normal), rel=0.01)
        assert await say(tts, text="😀") == []
        for options, reason in (
            ({"voice": "carl"}, "there are anna, bert"),
            ({"language": "de"}, "speaks en-US"),
            ({"speed": 0.1}, "0.5 to 2.0"),
        ):
            with pytest.raises(EngineRefused, match=reason):
                await say(tts, **options)
        assert tts_traits(tts).word_times
        assert facts_of(tts) == {"model": "/v", "licence": "CC0-1.0"}

    run(test, model="/v", licence="CC0-1.0")
