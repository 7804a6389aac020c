"""The synthesis service on a real socket."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

from engines.riva.dialect import AHEAD, DIALECT, SPEED
from engines.riva.limits import WireLimits
from engines.riva.wire import Message, Status, grpc, tts_grpc, tts_pb2
from engines.traits import TtsTraits
from tests.engines.riva.fakes import HummingTts, Node, node, run, until
from tests.engines.riva.test_server_asr import status

Stub = Any


def text(said: str = "one two three", **fields: Any) -> Message:
    fields = {"sample_rate_hz": 8000, "encoding": 1, **fields}
    return tts_pb2.SynthesizeSpeechRequest(text=said, **fields)


async def every(*messages: Message) -> AsyncIterator[Message]:
    for message in messages:
        yield message


def with_stub(
    use: Callable[[Node, Stub], Any], tts: HummingTts | None = None, limits: WireLimits | None = None
) -> None:
    async def main() -> None:
        async with node(tts=tts, limits=limits) as made, grpc.aio.insecure_channel(made.address) as channel:
            await use(made, tts_grpc.RivaSpeechSynthesisStub(channel))
            await until(lambda: made.tts_door.taken == 0)
            assert made.tts.speaking == 0

    run(main())


def test_a_text_is_spoken_whole_with_its_words() -> None:
    async def use(made: Node, stub: Stub) -> None:
        request = text(enable_word_time_offsets=True, language_code="en-US", voice_name="buzz")
        request.id.value = "seven"
        answer = await stub.Synthesize(request)
        assert answer.id.value == "seven"
        assert len(np.frombuffer(answer.audio, "<i2")) == 2400
        assert [(w.word, w.start_time, w.end_time) for w in answer.meta.words][2] == ("three", 200, 300)
        assert made.tts.asked[0].voice == "buzz"

    with_stub(use)


def test_texts_are_spoken_one_after_the_other_as_sound_comes() -> None:
    async def use(made: Node, stub: Stub) -> None:
        found = [
            answer
            async for answer in stub.SynthesizeOnline(
                every(text("a b", enable_word_time_offsets=True), text("c", enable_word_time_offsets=True))
            )
        ]
        assert [len(answer.audio) for answer in found] == [1600, 1600, 1600]
        assert [(w.word, w.start_time) for answer in found for w in answer.meta.words] == [
            ("a", 0), ("b", 100), ("c", 200),
        ]  # fmt: skip

    with_stub(use)


def test_long_chunks_come_in_pieces() -> None:
    async def use(made: Node, stub: Stub) -> None:
        found = [a async for a in stub.SynthesizeOnline(every(text("word", sample_rate_hz=8000)))]
        assert sum(len(answer.audio) for answer in found) == 1600

    with_stub(use)


def test_speed_and_urgency_are_told_in_our_own_fields() -> None:
    async def use(made: Node, stub: Stub) -> None:
        await stub.Synthesize(text(custom_configuration={SPEED: "1.5", AHEAD: "2"}))
        assert (made.tts.asked[0].speed, made.tts.asked[0].ahead) == (1.5, 2.0)

    with_stub(use)


def test_the_configuration_lists_the_voices() -> None:
    async def use(made: Node, stub: Stub) -> None:
        told = await stub.GetRivaSynthesisConfig(tts_pb2.RivaSynthesisConfigRequest())
        assert [c.parameters["voice_name"] for c in told.model_config] == ["hum", "buzz"]
        assert told.model_config[0].parameters[DIALECT] == "1"
        other = tts_pb2.RivaSynthesisConfigRequest(model_name="fastpitch")
        assert (await status(stub.GetRivaSynthesisConfig(other)))[0] is Status.NOT_FOUND

    with_stub(use)


@pytest.mark.parametrize(
    ("fields", "name", "code"),
    [
        ({"encoding": 4}, "encoding: OGGOPUS", Status.INVALID_ARGUMENT),
        ({"encoding": 3}, "encoding: MULAW", Status.INVALID_ARGUMENT),
        ({"sample_rate_hz": 0}, "sample_rate_hz", Status.INVALID_ARGUMENT),
        ({"sample_rate_hz": 96000}, "sample_rate_hz", Status.INVALID_ARGUMENT),
        ({"said": " "}, "text: is empty", Status.INVALID_ARGUMENT),
        ({"said": "x" * 5001}, "5001", Status.INVALID_ARGUMENT),
        ({"said": "<speak>hello</speak>"}, "SSML", Status.UNIMPLEMENTED),
        ({"voice_name": "robot"}, "voice_name", Status.INVALID_ARGUMENT),
        ({"custom_dictionary": "a  b"}, "custom_dictionary", Status.UNIMPLEMENTED),
        ({"zero_shot_data": tts_pb2.ZeroShotData(quality=3)}, "zero_shot_data", Status.UNIMPLEMENTED),
        ({"custom_configuration": {"exaggeration": "1"}}, "exaggeration", Status.UNIMPLEMENTED),
        ({"custom_configuration": {SPEED: "fast"}}, SPEED, Status.INVALID_ARGUMENT),
        ({"custom_configuration": {AHEAD: "-1"}}, AHEAD, Status.INVALID_ARGUMENT),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(fields: dict[str, Any], name: str, code: Status) -> None:
    async def use(made: Node, stub: Stub) -> None:
        for call in (stub.Synthesize(text(**fields)), stub.SynthesizeOnline(every(text(**fields)))):
            got, told = await status(call)
            assert got is code and name in told
        assert made.tts.asked == []

    with_stub(use)


def test_word_times_are_refused_where_the_voice_has_none() -> None:
    tts = HummingTts()
    tts.traits = TtsTraits(word_times=False)  # type: ignore[attr-defined]

    async def use(made: Node, stub: Stub) -> None:
        got = await status(stub.Synthesize(text(enable_word_time_offsets=True)))
        assert got[0] is Status.UNIMPLEMENTED and "enable_word_time_offsets" in got[1]

    with_stub(use, tts)


def test_speech_too_long_for_one_message_is_refused_with_the_cure() -> None:
    async def use(made: Node, stub: Stub) -> None:
        code, told = await status(stub.Synthesize(text(sample_rate_hz=48000)))
        assert code is Status.OUT_OF_RANGE and "SynthesizeOnline" in told

    with_stub(use, HummingTts(endless=True))


def test_a_voice_that_breaks_or_stays_mute_ends_the_call() -> None:
    async def breaks(made: Node, stub: Stub) -> None:
        assert await status(stub.SynthesizeOnline(every(text()))) == (Status.INTERNAL, "scripted")

    async def mute(made: Node, stub: Stub) -> None:
        assert (await status(stub.SynthesizeOnline(every(text()))))[0] is Status.DEADLINE_EXCEEDED
        assert (await status(stub.Synthesize(text())))[0] is Status.DEADLINE_EXCEEDED

    with_stub(breaks, HummingTts(dies_after=1))
    with_stub(mute, HummingTts(mute=True), WireLimits(sound_seconds=0.1))


def test_a_client_that_cancels_stops_the_voice() -> None:
    async def use(made: Node, stub: Stub) -> None:
        call = stub.SynthesizeOnline(every(text()))
        await call.read()
        call.cancel()
        await until(lambda: made.tts.speaking == 0, seconds=1.0)

    with_stub(use, HummingTts(endless=True))


def test_who_never_reads_is_sent_away_and_holds_little() -> None:
    async def use(made: Node, stub: Stub) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        call = stub.SynthesizeOnline(every(text(sample_rate_hz=48000)))
        await until(lambda: made.tts.speaking == 1)
        await until(lambda: made.tts.speaking == 0)
        assert made.tts.chunks * 9600 < 20_000_000
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
        call.cancel()

    with_stub(use, HummingTts(endless=True), WireLimits(unread_seconds=0.2))


def test_who_sends_text_without_end_is_served_one_at_a_time() -> None:
    async def endless() -> AsyncIterator[Message]:
        while True:
            yield text("a")

    async def use(made: Node, stub: Stub) -> None:
        call = stub.SynthesizeOnline(endless())
        for _ in range(50):
            await call.read()
        assert made.tts.speaking <= 1
        call.cancel()
        await asyncio.sleep(0)

    with_stub(use)


def test_who_sends_no_text_is_sent_away() -> None:
    async def use(made: Node, stub: Stub) -> None:
        assert (await status(stub.SynthesizeOnline()))[0] is Status.DEADLINE_EXCEEDED

    with_stub(use, limits=WireLimits(idle_seconds=0.1))
