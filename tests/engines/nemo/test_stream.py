"""Streams on a loop, the engine's thread behind them, and a script in the model's place."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from engines.base import AsrOptions, EngineBusy, EngineError, EngineFailed, EngineRefused, Transcript
from engines.nemo.asr import NemoAsr
from engines.nemo.engine_thread import BROKEN_AFTER, EngineThread
from engines.nemo.settings import NemoSettings
from engines.nemo.stream import NemoStream
from engines.nemo.utterance import Work
from media.frame import AudioFrame
from tests.engines.nemo.scripted import ScriptedStepper

RATE = 16000


def engine(stepper: ScriptedStepper, **settings: float) -> NemoAsr:
    """`NemoAsr` with the script in the place of what `load` would give."""
    made = NemoAsr.__new__(NemoAsr)
    made._settings = NemoSettings(**settings)  # type: ignore[arg-type]
    made._thread = EngineThread(lambda: stepper, made._settings)
    made._stepper, made._streams = None, set()
    return made


def run(work: Callable[[NemoAsr, ScriptedStepper], Awaitable[None]], **given: float) -> None:
    stepper = ScriptedStepper(slots=int(given.pop("slots", 4)))

    async def main() -> None:
        asr = engine(stepper, **given)
        await asr.warm_up()
        try:
            async with asyncio.timeout(20):
                await work(asr, stepper)
        finally:
            stepper.gate.set()
            await asr.aclose()
        assert asr.stats()["streams"] == 0

    asyncio.run(main())


def say(stream: NemoStream, *values: int, frames: int = 8) -> None:
    """Eight frames are one chunk of 160 ms."""
    for value in values:
        for _ in range(frames):
            stream.push(AudioFrame(np.full(RATE // 50, value, np.int16), RATE, 0, 0.0))


async def final(stream: NemoStream) -> Transcript:
    async for told in stream.results():
        if told.is_final:
            return told
    raise AssertionError("the stream was closed without a final")


def test_interims_come_with_each_step_and_one_final_for_each_segment() -> None:
    async def work(asr: NemoAsr, stepper: ScriptedStepper) -> None:
        stream = asr.stream(AsrOptions(sample_rate=RATE))
        results = stream.results()
        for segment in (1, 2):
            stream.start(segment)
            texts = []
            for value in (10, 20, 30):
                say(stream, value)
                interim = await anext(results)
                assert (interim.segment, interim.is_final) == (segment, False)
                texts.append(interim.text)
            assert texts == ["w10", "w10 w20", "w10 w20 w30"]
            stream.end()
            ended = await anext(results)
            assert (ended.segment, ended.is_final) == (segment, True)
            assert ended.text.startswith("w10 w20 w30") and ended.words[0].text == "w10"
        await stream.aclose()
        assert [told async for told in results] == []

    run(work)


def test_a_stream_without_interims_gives_its_final_alone() -> None:
    async def work(asr: NemoAsr, stepper: ScriptedStepper) -> None:
        stream = asr.stream(AsrOptions(sample_rate=RATE, interim=False))
        stream.start(1)
        say(stream, 10, 20)
        stream.end()
        first = await anext(stream.results())
        assert first.is_final and first.text.startswith("w10 w20")

    run(work)


def test_a_pause_gives_an_early_transcript_and_a_resume_takes_it_back() -> None:
    async def work(asr: NemoAsr, stepper: ScriptedStepper) -> None:
        stream = asr.stream(AsrOptions(sample_rate=RATE, interim=False))
        results = stream.results()
        stream.start(1)
        say(stream, 10)
        say(stream, 77, frames=3)
        stream.pause()
        early = await anext(results)
        assert early.early and not early.is_final and early.text == "w10 w77"
        stepper.gate.clear()
        stream.resume()
        stream.pause()
        stream.resume()
        stepper.gate.set()
        say(stream, 20)
        stream.end()
        told = await anext(results)
        assert told.is_final and told.text.split()[0] == "w10" and "w20" in told.text

    run(work)


def test_sound_at_the_legs_rate_is_heard_at_the_models() -> None:
    async def work(asr: NemoAsr, stepper: ScriptedStepper) -> None:
        stream = asr.stream(AsrOptions(sample_rate=8000))
        stream.start(1)
        for _ in range(50):
            stream.push(AudioFrame(np.full(160, 500, np.int16), 8000, 0, 0.0))
        with pytest.raises(ValueError, match="16000 Hz on a stream of 8000"):
            stream.push(AudioFrame(np.zeros(320, np.int16), 16000, 0, 0.0))
        stream.end()
        await final(stream)
        rows = [row for batch in stepper.batches for row in batch]
        last = rows[-1]
        assert last.work is Work.FINAL and last.frames_before + last.frames == 100  # one second, to the frame

    run(work)


def test_many_streams_hear_their_own_words_in_any_order() -> None:
    async def one(asr: NemoAsr, number: int) -> None:
        choose = random.Random(number)
        for segment in range(4):
            await asyncio.sleep(choose.random() * 0.02)
            stream = asr.stream(AsrOptions(sample_rate=RATE))
            stream.start(segment)
            for step in range(5):
                say(stream, 10 + number * 10 + step)
                await asyncio.sleep(choose.random() * 0.01)
            if choose.random() < 0.3:
                stream.cancel()
            elif choose.random() < 0.3:
                pass  # hangs up
            else:
                stream.end()
                told = await final(stream)
                assert told.text.split()[:5] == [f"w{10 + number * 10 + step}" for step in range(5)]
            await stream.aclose()

    async def work(asr: NemoAsr, stepper: ScriptedStepper) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(one(asr, number))
        assert max(map(len, stepper.batches)) > 3

    run(work, slots=40)


def test_one_bad_stream_does_not_spoil_its_batch() -> None:
    async def work(asr: NemoAsr, stepper: ScriptedStepper) -> None:
        streams = [asr.stream(AsrOptions(sample_rate=RATE)) for _ in range(4)]
        stepper.gate.clear()
        for number, stream in enumerate(streams):
            stream.start(1)
            say(stream, 10 + number)
        stepper.fails = lambda rows: any(row.slot == streams[2]._lane.slot for row in rows)
        for stream in streams:
            stream.end()
        stepper.gate.set()
        told = await asyncio.gather(*(final(stream) for stream in streams), return_exceptions=True)
        assert isinstance(told[2], EngineFailed) and "stumbled" in str(told[2])
        texts = [heard.text for heard in told if isinstance(heard, Transcript)]
        assert [text.split()[0] for text in texts] == ["w10", "w11", "w13"]
        assert streams[2]._lane.slot in stepper.resets
        assert asr.stats()["batches_retried"] >= 1
        stepper.fails = lambda rows: False
        streams[2].start(2)  # the stream itself goes on
        say(streams[2], 42)
        streams[2].end()
        assert (await final(streams[2])).text.startswith("w42")
        for stream in streams:
            await stream.aclose()

    run(work)


def test_broken_numbers_cost_their_own_segment_and_reset_their_own_slot() -> None:
    async def work(asr: NemoAsr, stepper: ScriptedStepper) -> None:
        good, bad = (asr.stream(AsrOptions(sample_rate=RATE)) for _ in range(2))
        for stream, value in ((good, 50), (bad, stepper.poison)):
            stream.start(1)
            say(stream, value)
            stream.end()
        assert (await final(good)).text.startswith("w50")
        with pytest.raises(EngineFailed, match="poisoned"):
            await final(bad)
        assert set(stepper.resets) == {bad._lane.slot}

    run(work)


def test_a_device_that_fails_every_step_is_given_up() -> None:
    async def work(asr: NemoAsr, stepper: ScriptedStepper) -> None:
        stepper.fails = lambda rows: True
        for segment in range(BROKEN_AFTER):
            stream = asr.stream(AsrOptions(sample_rate=RATE))
            stream.start(segment)
            say(stream, 5)
            with pytest.raises(EngineFailed):
                await final(stream)
            await stream.aclose()
        with pytest.raises(EngineBusy, match="out of order"):
            asr.stream(AsrOptions(sample_rate=RATE))
        assert "in a row" in asr.trouble
        with pytest.raises(EngineFailed, match="in a row"):
            await asr.warm_up()  # as whoever asks whether it is well again

    run(work)


def test_the_loop_is_never_blocked_by_a_step() -> None:
    async def work(asr: NemoAsr, stepper: ScriptedStepper) -> None:
        stream, other = (asr.stream(AsrOptions(sample_rate=RATE)) for _ in range(2))
        stream.start(1)
        stepper.gate.clear()  # a step that takes for ever
        say(stream, 9)
        loop = asyncio.get_running_loop()
        began = loop.time()
        other.start(1)
        say(other, 8)
        other.pause()
        other.end()
        await other.aclose()
        stream.cancel()
        await stream.aclose()
        asr.stats()
        assert loop.time() - began < 0.2
        stepper.gate.set()

    run(work)


def test_hanging_up_frees_the_slot_even_while_its_step_runs() -> None:
    async def work(asr: NemoAsr, stepper: ScriptedStepper) -> None:
        stream = asr.stream(AsrOptions(sample_rate=RATE))
        stream.start(1)
        stepper.gate.clear()
        say(stream, 9)
        await asyncio.sleep(0.05)
        await stream.aclose()
        with pytest.raises(EngineBusy, match="all 1 streams"):
            asr.stream(AsrOptions(sample_rate=RATE))
        stepper.gate.set()
        for _ in range(200):
            await asyncio.sleep(0.005)
            try:
                await asr.stream(AsrOptions(sample_rate=RATE)).aclose()
                return
            except EngineBusy:
                continue
        raise AssertionError("the slot was never freed")

    run(work, slots=1)


def test_too_many_segments_or_too_much_sound_costs_the_segment_not_the_stream() -> None:
    async def work(asr: NemoAsr, stepper: ScriptedStepper) -> None:
        stream = asr.stream(AsrOptions(sample_rate=RATE))
        stepper.gate.clear()
        stream.start(1)
        say(stream, 9, frames=200)
        with pytest.raises(EngineError, match="wait to be heard"):
            await final(stream)
        stepper.gate.set()
        stream.start(2)
        say(stream, 8)
        stream.end()
        assert (await final(stream)).segment == 2

    run(work, max_behind=1.0)


def test_what_the_model_was_not_trained_for_is_refused() -> None:
    async def work(asr: NemoAsr, stepper: ScriptedStepper) -> None:
        with pytest.raises(EngineRefused, match="en-US, not de-DE"):
            asr.stream(AsrOptions(language="de-DE"))
        with pytest.raises(EngineRefused, match="out of range"):
            asr.stream(AsrOptions(sample_rate=4000))
        assert asr.traits.word_times and asr.traits.hot_words and not asr.traits.punctuation

    run(work)


def test_a_model_that_cannot_be_loaded_says_why_and_may_be_tried_again() -> None:
    tries = 0

    def second_time() -> ScriptedStepper:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ValueError("no such weights")
        return ScriptedStepper()

    async def main() -> None:
        thread = EngineThread(second_time, NemoSettings())
        thread.start()
        with pytest.raises(EngineFailed, match="no such weights"):
            await asyncio.to_thread(thread.wait_loaded)
        thread.start()
        assert (await asyncio.to_thread(thread.wait_loaded)).slots == 4
        thread.start()
        await asyncio.to_thread(thread.close)
        assert tries == 2

    asyncio.run(main())


def test_a_stream_before_the_model_is_there_is_told_so() -> None:
    async def main() -> None:
        asr = engine(ScriptedStepper())
        with pytest.raises(EngineBusy, match="still being loaded"):
            asr.stream(AsrOptions())
        await asr.aclose()

    asyncio.run(main())
