"""The real voice: it loads in half a second and speaks a hundred times faster than a person."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from engines.base import (
    EngineBusy,
    EngineFailed,
    EngineRefused,
    EngineTimeout,
    SpeechChunk,
    Tts,
    TtsOptions,
    Word,
)
from engines.embedded.hibari import HibariSettings, HibariTts
from engines.embedded.hibari_model import HibariModel
from engines.loudness import active_level, frame_levels, speech_bounds
from engines.speech_cache import SpeechCache
from media.frame import Pcm

TEXT = "Hello 👋, you owe $45.20. Please pay by May 3rd, 2026, thank you!"


@cache
def model() -> HibariModel:
    return HibariModel()


def run(
    test: Callable[[HibariTts], Coroutine[Any, Any, None]], settings: HibariSettings | None = None
) -> None:
    """On a voice of its own that shares the loaded model."""

    async def main() -> None:
        tts = HibariTts(settings, model())
        try:
            await test(tts)
        finally:
            await tts.aclose()

    asyncio.run(main())


async def say(tts: HibariTts, text: str, options: TtsOptions | None = None) -> list[SpeechChunk]:
    return [chunk async for chunk in tts.speak(text, options or TtsOptions())]


def joined(chunks: list[SpeechChunk]) -> Pcm:
    return np.concatenate([chunk.pcm for chunk in chunks])


def words(chunks: list[SpeechChunk]) -> list[Word]:
    return [word for chunk in chunks for word in chunk.words]


@pytest.fixture(scope="module")
def spoken() -> Iterator[list[SpeechChunk]]:
    found: list[SpeechChunk] = []

    async def test(tts: HibariTts) -> None:
        found.extend(await say(tts, TEXT))

    run(test)
    yield found


def test_sentences_come_one_by_one_and_every_word_as_written(spoken: list[SpeechChunk]) -> None:
    assert len(spoken) == 2
    assert " ".join(w.text for w in words(spoken)) == TEXT
    assert words(spoken[:1])[-1].text == "$45.20."


def test_word_times_rise_through_the_passage_and_lie_in_their_chunk(spoken: list[SpeechChunk]) -> None:
    times = [t for w in words(spoken) for t in (w.start, w.end)]
    assert times == sorted(times)
    begins = 0.0
    for chunk in spoken:
        ends = begins + len(chunk.pcm) / 8000
        assert all(begins <= w.start < w.end <= ends for w in chunk.words)
        begins = ends


def test_word_times_match_the_sound(spoken: list[SpeechChunk]) -> None:
    """Speech pauses at the comma after "2026," and between the sentences: nothing loud lies there."""
    wave = (joined(spoken) / 32767).astype(np.float32)
    levels = frame_levels(wave, 8000)
    said = {w.text: w for w in words(spoken)}
    for before, after in (("$45.20.", "Please"), ("May 3rd, 2026,", "thank")):
        gap = levels[int(said[before].end * 200) : int(said[after].start * 200)]
        assert gap.min() < -50
        assert levels[int(said[after].start * 200) : int(said[after].end * 200)].max() > -30


def test_it_begins_at_once_is_as_loud_as_asked_and_pauses_by_punctuation(spoken: list[SpeechChunk]) -> None:
    for chunk in spoken:
        wave = (chunk.pcm / 32767).astype(np.float32)
        start, end = speech_bounds(wave, 8000, -45)
        assert start / 8000 < 0.06
        assert 0.2 < (len(wave) - end) / 8000 < 0.5
        assert active_level(wave, 8000) == pytest.approx(-20, abs=1.5)
        assert np.abs(chunk.pcm).max() < 32767
        assert abs(int(chunk.pcm[0])) < 30


@pytest.mark.parametrize("rate", [16000, 48000])
def test_the_leg_chooses_the_rate_and_the_speed(rate: int, spoken: list[SpeechChunk]) -> None:
    async def test(tts: HibariTts) -> None:
        normal = joined(await say(tts, TEXT, TtsOptions(sample_rate=rate)))
        assert len(normal) / rate == pytest.approx(len(joined(spoken)) / 8000, abs=0.01)
        fast = joined(await say(tts, TEXT, TtsOptions(sample_rate=rate, speed=1.5)))
        assert len(fast) < 0.8 * len(normal)

    run(test)


def test_the_same_text_gives_the_same_samples_also_side_by_side() -> None:
    async def test(tts: HibariTts) -> None:
        alone = joined(await say(tts, TEXT))
        together = await asyncio.gather(*(say(tts, TEXT) for _ in range(4)))
        assert all(np.array_equal(joined(chunks), alone) for chunks in together)

    run(test)


def test_nothing_to_say_is_no_sound_and_no_error() -> None:
    async def test(tts: HibariTts) -> None:
        for text in ("", " \n", "😀", "***", "日本語"):
            assert await say(tts, text) == []
        assert len(joined(await say(tts, "a" * 3000))) / 8000 < 8

    run(test)


def test_what_it_cannot_do_is_refused_with_the_reason() -> None:
    async def test(tts: HibariTts) -> None:
        for text, options, reason in (
            ("x", TtsOptions(voice="emma"), "no voice 'emma'"),
            ("x", TtsOptions(language="de-DE"), "speaks en-US"),
            ("x", TtsOptions(speed=3.0), "0.5 to 2.0"),
            ("x", TtsOptions(sample_rate=4000), "8000 to 48000"),
            ("x" * 5001, TtsOptions(), "at most 5000"),
        ):
            with pytest.raises(EngineRefused, match=reason):
                await say(tts, text, options)

    run(test)


def test_a_full_queue_is_busy_and_a_missed_deadline_a_timeout() -> None:
    async def crowd(tts: HibariTts) -> None:
        results = await asyncio.gather(*(say(tts, TEXT) for _ in range(8)), return_exceptions=True)
        refused = [r for r in results if isinstance(r, EngineBusy)]
        served = [r for r in results if isinstance(r, list)]
        assert refused and served and len(refused) + len(served) == 8
        assert tts.stats()["refused_busy"] == len(refused) and tts.stats()["passages"] == len(served)

    run(crowd, HibariSettings(threads=1, waiting=2))

    async def late(tts: HibariTts) -> None:
        results = await asyncio.gather(*(say(tts, TEXT) for _ in range(20)), return_exceptions=True)
        assert any(isinstance(r, EngineTimeout) for r in results)
        assert tts.stats()["waiting"] == 0

    run(late, HibariSettings(threads=1, deadline=0.05))


def test_closing_the_iterator_frees_the_queue_and_a_closed_voice_fails() -> None:
    async def test(tts: HibariTts) -> None:
        speech = tts.speak(TEXT, TtsOptions())
        await anext(speech)
        await speech.aclose()  # type: ignore[attr-defined]
        assert tts.stats()["cancelled"] == 1
        tasks = [asyncio.create_task(say(tts, TEXT)) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert tts.stats()["waiting"] == 0
        await tts.aclose()
        await tts.aclose()
        with pytest.raises(EngineFailed, match="closed"):
            await say(tts, "hello")

    run(test)


def test_who_still_has_speech_to_hear_waits_for_those_who_have_none() -> None:
    async def test(tts: HibariTts) -> None:
        done: list[str] = []

        async def speak(name: str, ahead: float) -> None:
            await say(tts, "One moment please.", TtsOptions(ahead=ahead))
            done.append(name)

        await asyncio.gather(speak("runs", 0), *(speak(f"{s} s", s) for s in (9.0, 5.0, 0.5, 0.0)))
        assert done == ["runs", "0.0 s", "0.5 s", "5.0 s", "9.0 s"]

    run(test, HibariSettings(threads=1, deadline=0.5))


def test_the_cache_serves_it_again_sample_for_sample() -> None:
    async def test(tts: HibariTts) -> None:
        voice: Tts = SpeechCache(tts)
        assert isinstance(voice, SpeechCache)
        await voice.prewarm([TEXT], TtsOptions())
        again = [chunk async for chunk in voice.speak(TEXT, TtsOptions())]
        assert np.array_equal(joined(again), joined(await say(tts, TEXT)))
        assert words(again)[0].start < 0.1 and voice.stats()["hits"] == 1

    run(test)


def test_warming_up_loads_once_for_all_who_wait() -> None:
    async def main() -> None:
        tts = HibariTts()
        await asyncio.gather(tts.warm_up(), tts.warm_up(), say(tts, "Hello."))
        assert tts.stats()["passages"] == 1
        await tts.aclose()

    asyncio.run(main())


def test_bad_settings_name_the_field() -> None:
    with pytest.raises(ValueError, match=r"hibari\.threads is 0: choose a value from 1 to 64"):
        HibariSettings(threads=0)


def test_every_word_has_a_span_even_one_without_a_sound() -> None:
    speech = model().speak("well -- then, go.", 1.0)
    assert len(speech.spans) == 4
    assert all(start <= end for start, end in speech.spans)
    assert speech.spans[0][1] <= speech.spans[2][0]
    assert len(model().speak("", 1.0).pcm) == 0
