"""Speaking on a socket, in virtual time."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from engines.base import EngineFailed, EngineTimeout, SpeechChunk, TtsOptions
from gateway.api.core.speaking import SpeakLimits, sentences, spoken
from gateway.api.core.speech_line import Mark, SpeechLine
from tests.fakes.tts import WORD, ToneTts
from tests.virtual_time import run_virtual

OPTIONS = TtsOptions(sample_rate=8000)
LIMITS = SpeakLimits(piece_seconds=0.05)


def test_sentences_are_spoken_as_soon_as_they_are_whole() -> None:
    async def scene() -> None:
        tts = ToneTts()
        line = SpeechLine[str](tts, LIMITS)
        for word in "One two. Three four. And the":
            line.say(word, OPTIONS)
        line.say(" rest is longer than the splitter has to look ahead", OPTIONS)
        taking = asyncio.ensure_future(_take(line))
        await asyncio.sleep(2)
        assert tts.spoken == ["One two.", "Three four."]
        line.flush(OPTIONS, Mark("flushed"))
        line.close()
        pcm, marks = await taking
        assert tts.spoken[-1].startswith("And the rest")
        assert marks == ["flushed"]
        assert len(pcm) == round(sum(len(text.split()) for text in tts.spoken) * WORD * 8000)

    run_virtual(scene())


def test_clear_takes_effect_within_one_piece() -> None:
    async def scene() -> None:
        line = SpeechLine[str](ToneTts(), LIMITS)
        line.say("one two three four five six seven eight nine ten", OPTIONS)
        line.flush(OPTIONS, Mark("flushed"))
        sounds = line.sounds()
        first = await anext(sounds)
        assert isinstance(first, SpeechChunk) and len(first.pcm) == 400
        assert line.clear(Mark("cleared")) == ["flushed"]
        assert await anext(sounds) == Mark("cleared")
        line.say("Go on.", OPTIONS)
        line.flush(OPTIONS)
        line.close()
        rest = [item async for item in sounds]
        assert all(isinstance(item, SpeechChunk) for item in rest)
        assert sum(len(item.pcm) for item in rest if isinstance(item, SpeechChunk)) == 1600

    run_virtual(scene())


def test_clear_while_the_voice_still_thinks_gives_no_sound() -> None:
    async def scene() -> None:
        line = SpeechLine[str](ToneTts(takes=1.0), LIMITS)
        line.say("Never heard.", OPTIONS)
        line.flush(OPTIONS)
        taking = asyncio.ensure_future(_take(line))
        await asyncio.sleep(0.5)
        line.clear(Mark("cleared"))
        line.close()
        pcm, marks = await taking
        assert (len(pcm), marks) == (0, ["cleared"])

    run_virtual(scene())


def test_who_says_too_much_waits() -> None:
    async def scene() -> None:
        line = SpeechLine[str](ToneTts(takes=1.0), SpeakLimits(texts_waiting=3))
        said = 0

        async def talk() -> None:
            nonlocal said
            for _ in range(10):
                await line.room()
                line.say("Yes!\n", OPTIONS)
                said += 1
            line.close()

        talking = asyncio.ensure_future(talk())
        await asyncio.sleep(0.1)
        assert said == 3
        await asyncio.gather(talking, _take(line))
        assert said == 10

    run_virtual(scene())


def test_blank_texts_make_no_sound() -> None:
    async def scene() -> None:
        tts = ToneTts()
        line = SpeechLine[str](tts, LIMITS)
        line.say(" ", OPTIONS)
        line.flush(OPTIONS, Mark("done"))
        line.close()
        pcm, marks = await _take(line)
        assert (len(pcm), marks, tts.spoken) == (0, ["done"], [])

    run_virtual(scene())


def test_a_voice_that_breaks_or_stalls_is_told() -> None:
    async def said(tts: ToneTts, limits: SpeakLimits) -> int:
        return sum([len(chunk.pcm) async for chunk in spoken(tts, ["One. Two."], OPTIONS, limits)])

    with pytest.raises(EngineFailed):
        run_virtual(said(ToneTts(fails=1), LIMITS))
    with pytest.raises(EngineTimeout, match="no sound for 2 s"):
        run_virtual(said(ToneTts(takes=5), SpeakLimits(sound_seconds=2)))


def test_words_are_timed_over_all_sentences() -> None:
    async def scene() -> list[tuple[str, float]]:
        chunks = spoken(ToneTts(), sentences("One two. Three."), OPTIONS, LIMITS)
        return [(word.text, round(word.start, 3)) async for chunk in chunks for word in chunk.words]

    assert run_virtual(scene()) == [("One", 0.0), ("two.", 0.1), ("Three.", 0.2)]


async def _take(line: SpeechLine[str]) -> tuple[np.ndarray[tuple[int], np.dtype[np.int16]], list[str]]:
    pcm, marks = [np.zeros(0, np.int16)], []
    async for item in line.sounds():
        if isinstance(item, Mark):
            marks.append(item.what)
        else:
            pcm.append(item.pcm)
    return np.concatenate(pcm), marks
