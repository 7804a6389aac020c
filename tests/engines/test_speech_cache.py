from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from engines.base import EngineBusy, SpeechChunk, TtsOptions, Word
from engines.speech_cache import SpeechCache, SpeechCacheSettings

SIZE = 800
OPTIONS = TtsOptions()


class ScriptedVoice:
    """Says each word of a text as one chunk of silence; "busy" is refused."""

    name = "scripted"
    voices = ("ann", "bob")

    def __init__(self) -> None:
        self.said: list[str] = []
        self.closed_early = 0

    async def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        if text == "busy":
            raise EngineBusy("full")
        self.said.append(text)
        try:
            for word in text.split():
                yield SpeechChunk(np.zeros(SIZE, np.int16), (Word(word, 0.0, 0.1, 1.0),))
        except GeneratorExit:
            self.closed_early += 1
            raise

    async def warm_up(self) -> None:
        self.said.append("(warm)")

    async def aclose(self) -> None:
        self.said.append("(closed)")


async def say(cache: SpeechCache, text: str, options: TtsOptions = OPTIONS) -> list[str]:
    return [chunk.words[0].text async for chunk in cache.speak(text, options)]


def test_a_text_is_kept_when_it_comes_twice_and_said_from_memory_the_third_time() -> None:
    async def main() -> None:
        voice = ScriptedVoice()
        cache = SpeechCache(voice)
        for _ in range(4):
            assert await say(cache, "please  hold") == ["please", "hold"]
        assert voice.said == ["please  hold"] * 2
        assert cache.stats() == {
            "hits": 2,
            "misses": 2,
            "evicted": 0,
            "shared": 0,
            "kept": 1,
            "bytes": 4 * SIZE,
        }

    asyncio.run(main())


def test_prewarmed_texts_come_from_memory_at_once() -> None:
    async def main() -> None:
        voice = ScriptedVoice()
        cache = SpeechCache(voice)
        await cache.prewarm(["hello", "good bye", "hello"], OPTIONS)
        assert await say(cache, "good bye") == ["good", "bye"]
        assert await say(cache, " good\nbye ") == ["good", "bye"]
        assert voice.said == ["hello", "good bye"]

    asyncio.run(main())


@pytest.mark.parametrize(
    "other",
    [TtsOptions(sample_rate=16000), TtsOptions(speed=1.5), TtsOptions(voice="bob"), TtsOptions(language="")],
)
def test_another_rate_speed_voice_or_language_is_another_prompt(other: TtsOptions) -> None:
    async def main() -> None:
        cache = SpeechCache(ScriptedVoice())
        await cache.prewarm(["hello"], OPTIONS)
        await say(cache, "hello", other)
        await say(cache, "hello", TtsOptions(voice="ann", ahead=3.0))
        assert (cache.stats()["hits"], cache.stats()["misses"]) == (1, 1)

    asyncio.run(main())


def test_the_least_recently_said_goes_when_there_is_no_more_room() -> None:
    async def main() -> None:
        cache = SpeechCache(ScriptedVoice(), SpeechCacheSettings(bytes=4 * SIZE))
        await cache.prewarm(["one", "two"], OPTIONS)
        await say(cache, "one")
        await cache.prewarm(["three", "far too long for it"], OPTIONS)
        assert (cache.stats()["kept"], cache.stats()["evicted"], cache.stats()["bytes"]) == (2, 1, 4 * SIZE)
        before = cache.stats()["misses"]
        await say(cache, "one")
        assert cache.stats()["misses"] == before
        await say(cache, "two")
        assert cache.stats()["misses"] == before + 1

    asyncio.run(main())


def test_what_was_not_said_whole_is_not_kept_and_closing_reaches_the_voice() -> None:
    async def main() -> None:
        voice = ScriptedVoice()
        cache = SpeechCache(voice)
        await say(cache, "a b c")
        speech = cache.speak("a b c", OPTIONS)
        await anext(speech)
        await speech.aclose()  # type: ignore[attr-defined]
        assert voice.closed_early == 1 and cache.stats()["kept"] == 0

    asyncio.run(main())


def test_errors_pass_and_kept_samples_cannot_be_changed() -> None:
    async def main() -> None:
        voice = ScriptedVoice()
        cache = SpeechCache(voice)
        with pytest.raises(EngineBusy):
            await say(cache, "busy")
        await cache.prewarm(["hello"], OPTIONS)
        async for chunk in cache.speak("hello", OPTIONS):
            with pytest.raises(ValueError, match="read-only"):
                chunk.pcm[0] = 1
        await cache.warm_up()
        await cache.aclose()
        assert voice.said[-2:] == ["(warm)", "(closed)"] and cache.stats()["kept"] == 0
        assert (cache.name, cache.voices) == ("scripted", ("ann", "bob"))

    asyncio.run(main())


def test_only_so_many_texts_are_remembered() -> None:
    async def main() -> None:
        cache = SpeechCache(ScriptedVoice(), SpeechCacheSettings(watched=2))
        for text in ("a", "b", "c", "a"):
            await say(cache, text)
        assert cache.stats()["kept"] == 0
        await say(cache, "a")
        assert cache.stats()["kept"] == 1

    asyncio.run(main())


def test_bad_settings_name_the_field() -> None:
    with pytest.raises(ValueError, match=r"speech_cache\.bytes is -1"):
        SpeechCacheSettings(bytes=-1)
    with pytest.raises(ValueError, match=r"speech_cache\.watched is 0"):
        SpeechCacheSettings(watched=0)


class Shelf:
    def __init__(self) -> None:
        self.held: dict[tuple[object, ...], tuple[SpeechChunk, ...]] = {}

    async def get(self, key: tuple[object, ...]) -> tuple[SpeechChunk, ...] | None:
        return self.held.get(key)

    async def put(self, key: tuple[object, ...], chunks: Sequence[SpeechChunk]) -> None:
        self.held[key] = tuple(chunks)


def test_what_another_node_prepared_is_not_spoken_again() -> None:
    async def main() -> None:
        shelf, options = Shelf(), TtsOptions()
        first, second = SpeechCache(ScriptedVoice(), None, shelf), SpeechCache(ScriptedVoice(), None, shelf)
        await first.prewarm(["Hello."], options)
        await second.prewarm(["Hello."], options)
        assert (first.stats()["shared"], second.stats()["shared"]) == (0, 1)
        heard = [len(chunk.pcm) async for chunk in first.speak("Hello.", options)]
        assert [len(chunk.pcm) async for chunk in second.speak("Hello.", options)] == heard
        assert second.stats()["hits"] == 1
        _ = [chunk async for chunk in first.speak("A caller's own words.", options)]
        assert len(shelf.held) == 1

    asyncio.run(main())
