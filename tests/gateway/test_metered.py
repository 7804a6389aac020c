"""The meter changes nothing but the count."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import numpy as np
import pytest

from engines.base import AsrOptions, AsrStream, EngineBusy, EngineFailed, TtsOptions
from gateway.agents.base import AgentError, Say, UserTurn
from gateway.metered import MeteredAgent, MeteredAsr, MeteredTts
from media.frame import AudioFrame
from tests.fakes.agent import ScriptedAgent
from tests.fakes.asr import ScriptedAsr
from tests.fakes.tts import ToneTts
from tests.virtual_time import run_virtual

OPTIONS = TtsOptions(8000)
TURN = UserTurn(number=1, text="hello")


class Meter:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, str, float]] = []

    def __call__(self, kind: str, engine: str, outcome: str, seconds: float) -> None:
        self.told.append((kind, engine, outcome, round(seconds, 3)))


def test_a_passage_takes_as_long_as_the_voice_and_not_as_its_reader() -> None:
    async def main() -> None:
        meter = Meter()
        tts = MeteredTts(ToneTts(takes=0.25), meter)
        async for chunk in tts.speak("Two words.", OPTIONS):
            assert len(chunk.pcm) == 1600
            await asyncio.sleep(5.0)
        assert meter.told == [("tts", "tone", "ok", 0.25)]
        assert (tts.name, tts.voices) == ("tone", ("tone",))

    run_virtual(main())


def test_failures_and_cancellations_have_names() -> None:
    async def main() -> None:
        meter = Meter()
        tts = MeteredTts(ToneTts(takes=0.0, fails=1), meter)
        with pytest.raises(EngineFailed):
            async for _ in tts.speak("One.", OPTIONS):
                pass
        sound = tts.speak("Two.", OPTIONS)
        assert isinstance(sound, AsyncGenerator)
        async with aclosing(sound):
            await anext(sound)
        assert [outcome for _, _, outcome, _ in meter.told] == ["EngineFailed", "cancelled"]

    run_virtual(main())


def test_replies_are_counted_greetings_are_not() -> None:
    async def main() -> None:
        meter = Meter()
        inner = ScriptedAgent(takes=0.5, greeting="Hi.")
        agent = MeteredAgent(inner, meter)
        assert [part async for part in agent.greet()] == [Say("Hi.")]
        parts = [part async for part in agent.reply(TURN)]
        agent.heard(TURN, "You said", complete=False)
        assert parts == [Say("You "), Say("said "), Say("hello ")] and inner.told == [(1, "You said", False)]
        failing = MeteredAgent(ScriptedAgent(lambda turn: "!", takes=0.0), meter)
        with pytest.raises(AgentError):
            async for _ in failing.reply(TURN):
                pass
        await agent.aclose()
        assert inner.closed
        assert meter.told == [("agent", "scripted", "ok", 0.5), ("agent", "scripted", "AgentError", 0.0)]

    run_virtual(main())


def frame(number: int) -> AudioFrame:
    return AudioFrame(np.zeros(160, np.int16), 8000, number * 160, number * 0.02)


def test_a_final_is_timed_from_the_end_of_its_segment() -> None:
    async def main() -> None:
        meter = Meter()
        asr = MeteredAsr(ScriptedAsr([(0.0, 0.1, "hello")], takes=0.3, dies_at=[9.0]), meter)
        stream = asr.stream(AsrOptions())
        stream.start(4)
        for number in range(5):
            stream.push(frame(number))
        stream.end()
        results = stream.results()
        transcript = await anext(results)
        assert (transcript.segment, transcript.text, transcript.is_final) == (4, "hello", True)
        stream.start(5)
        stream.push(frame(1000))
        with pytest.raises(EngineFailed):
            await anext(results)
        await stream.aclose()
        assert meter.told == [("asr", "scripted", "ok", 0.3), ("asr", "scripted", "EngineFailed", 0.0)]

    run_virtual(main())


class FullAsr(ScriptedAsr):
    def stream(self, options: AsrOptions) -> AsrStream:
        raise EngineBusy("full")


def test_a_stream_that_is_refused_is_counted() -> None:
    meter = Meter()
    with pytest.raises(EngineBusy):
        MeteredAsr(FullAsr(()), meter).stream(AsrOptions())
    assert meter.told == [("asr", "scripted", "EngineBusy", 0.0)]
