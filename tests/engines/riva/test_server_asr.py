"""The recognition service on a real socket: streams, recordings, and clients that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (  # type: ignore[import-untyped]
    ProtoReflectionDescriptorDatabase,
)

from engines.riva.dialect import BY_CALLER, DIALECT, PAUSE, SEGMENTS
from engines.riva.limits import WireLimits
from engines.riva.wire import (
    ASR_SERVICE,
    HEALTH_SERVICE,
    TTS_SERVICE,
    Message,
    Status,
    asr_grpc,
    asr_pb2,
    grpc,
    health_pb2,
    health_pb2_grpc,
)
from media import tones
from tests.engines.riva.fakes import Node, TellingAsr, node, node_apart, run, until

TONE = tones.tone((440.0,), 1.0, 8000).tobytes()
QUIET = bytes(len(TONE))
LINEAR, FLAC = 1, 2


def config(**fields: Any) -> Message:
    fields = {"encoding": LINEAR, "sample_rate_hertz": 8000, "enable_automatic_punctuation": True, **fields}
    return asr_pb2.RecognitionConfig(**fields)


def opening(interim: bool = True, **fields: Any) -> Message:
    streaming = asr_pb2.StreamingRecognitionConfig(config=config(**fields), interim_results=interim)
    return asr_pb2.StreamingRecognizeRequest(streaming_config=streaming)


def sound(octets: bytes) -> Message:
    return asr_pb2.StreamingRecognizeRequest(audio_content=octets)


def pause(yes: bool) -> Message:
    return asr_pb2.StreamingRecognizeRequest(runtime_config={PAUSE: str(yes).lower()})


async def every(*messages: Message) -> AsyncIterator[Message]:
    for message in messages:
        yield message


Stub = Any


def with_stub(
    use: Callable[[Node, Stub], Any], asr: TellingAsr | None = None, limits: WireLimits | None = None
) -> None:
    async def main() -> None:
        async with node(asr, limits=limits) as made, grpc.aio.insecure_channel(made.address) as channel:
            await use(made, asr_grpc.RivaSpeechRecognitionStub(channel))
            await until(lambda: made.asr_door.taken == 0)
            assert not made.asr.open

    run(main())


async def results(stub: Stub, *messages: Message) -> list[Message]:
    return [response.results[0] async for response in stub.StreamingRecognize(every(*messages))]


async def status(call: Any) -> tuple[Status, str]:
    """How the call ends."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details()
    return Status.OK, ""


async def idle(*messages: Message) -> AsyncIterator[Message]:
    """Then nothing, for ever."""
    for message in messages:
        yield message
    await asyncio.Event().wait()


def texts(found: list[Message]) -> list[tuple[str, bool]]:
    return [(result.alternatives[0].transcript, result.is_final) for result in found]


def test_segments_are_found_in_an_endless_stream() -> None:
    async def use(made: Node, stub: Stub) -> None:
        found = await results(
            stub, opening(), sound(QUIET), sound(TONE), sound(QUIET), sound(TONE), sound(QUIET)
        )
        finals = [result for result in found if result.is_final]
        assert len(finals) == 2
        assert any(result.stability == 1.0 for result in found)
        assert made.asr.told == ["start", "pause", "end"] * 2
        assert finals[0].alternatives[0].confidence == 0.75
        assert finals[1].audio_processed > finals[0].audio_processed > 2.0

    with_stub(use)


def test_without_interims_only_finals_come() -> None:
    async def use(made: Node, stub: Stub) -> None:
        found = await results(stub, opening(interim=False), sound(TONE * 2), sound(QUIET))
        assert [result.is_final for result in found] == [True]
        assert not made.asr.asked[0].interim

    with_stub(use)


def test_a_stream_that_ends_in_speech_gets_its_final() -> None:
    async def use(made: Node, stub: Stub) -> None:
        assert texts(await results(stub, opening(interim=False), sound(TONE))) == [("Heard 50.", True)]

    with_stub(use)


def test_silence_and_nothing_give_no_result() -> None:
    async def use(made: Node, stub: Stub) -> None:
        assert await results(stub, opening(), sound(QUIET)) == []
        assert await results(stub, opening()) == []

    with_stub(use)


def test_a_client_that_cuts_itself_gets_one_final_whatever_it_sends() -> None:
    async def use(made: Node, stub: Stub) -> None:
        own = opening(custom_configuration={SEGMENTS: BY_CALLER})
        found = await results(
            stub, own, sound(TONE + QUIET * 3 + TONE), pause(True), pause(False), pause(True)
        )
        assert texts(found)[-1] == ("Heard 250.", True)
        assert [result.is_final for result in found].count(True) == 1
        assert made.asr.told == ["start", "pause", "resume", "pause", "end"]
        assert texts(await results(stub, own, sound(QUIET))) == [("", False), ("", False), ("", True)]

    with_stub(use)


def test_words_carry_the_streams_time() -> None:
    async def use(made: Node, stub: Stub) -> None:
        found = await results(
            stub, opening(interim=False, enable_word_time_offsets=True), sound(QUIET), sound(TONE)
        )
        word = found[0].alternatives[0].words[0]
        assert (word.word, word.end_time - word.start_time) == ("Heard", 80)
        assert 500 < word.start_time < 1000

    with_stub(use)


def test_hot_words_language_and_rate_reach_the_engine() -> None:
    async def use(made: Node, stub: Stub) -> None:
        contexts = [asr_pb2.SpeechContext(phrases=["Offhook"], boost=4.0)]
        fields: dict[str, Any] = {"language_code": "de-DE", "sample_rate_hertz": 44100}
        await results(stub, opening(speech_contexts=contexts, **fields), sound(TONE * 4))
        (asked,) = made.asr.asked
        assert (asked.language, asked.sample_rate) == ("de-DE", 16000)
        assert (asked.hot_words, asked.boosts) == (("Offhook",), (4.0,))

    with_stub(use)


def test_a_recording_gives_one_result_and_its_request_id() -> None:
    async def use(made: Node, stub: Stub) -> None:
        whole = QUIET + TONE + QUIET * 2 + TONE + QUIET
        request = asr_pb2.RecognizeRequest(config=config(enable_word_time_offsets=True), audio=whole)
        request.id.value = "seven"
        answer = await stub.Recognize(request)
        assert answer.id.value == "seven"
        (result,) = answer.results
        assert result.alternatives[0].transcript.count("Heard") == 2
        assert result.audio_processed == pytest.approx(6.0)
        assert [word.start_time // 1000 for word in result.alternatives[0].words] == [0, 3]
        assert not (await stub.Recognize(asr_pb2.RecognizeRequest(config=config(), audio=QUIET))).results

    with_stub(use)


def test_the_configuration_tells_what_is_served() -> None:
    async def use(made: Node, stub: Stub) -> None:
        told = await stub.GetRivaSpeechRecognitionConfig(asr_pb2.RivaSpeechRecognitionConfigRequest())
        (found,) = told.model_config
        assert found.model_name == "telling"
        assert found.parameters["language_code"] == "en-US,de-DE"
        assert found.parameters[DIALECT] == "1"
        other = asr_pb2.RivaSpeechRecognitionConfigRequest(model_name="parakeet")
        assert (await status(stub.GetRivaSpeechRecognitionConfig(other)))[0] is Status.NOT_FOUND

    with_stub(use)


@pytest.mark.parametrize(
    ("messages", "code", "told"),
    [
        ([sound(TONE)], Status.INVALID_ARGUMENT, "streaming_config"),
        ([], Status.INVALID_ARGUMENT, "streaming_config"),
        ([opening(), opening()], Status.INVALID_ARGUMENT, "once"),
        ([opening(encoding=FLAC)], Status.INVALID_ARGUMENT, "encoding: FLAC"),
        ([opening(encoding=77)], Status.INVALID_ARGUMENT, "encoding: 77"),
        ([opening(sample_rate_hertz=7999)], Status.INVALID_ARGUMENT, "sample_rate_hertz: 7999"),
        ([opening(), pause(True)], Status.INVALID_ARGUMENT, "runtime_config"),
        ([opening(profanity_filter=True)], Status.UNIMPLEMENTED, "profanity_filter"),
        (
            [opening(custom_configuration={SEGMENTS: BY_CALLER}), *[sound(TONE)] * 9],
            Status.OUT_OF_RANGE,
            "5 s",
        ),
    ],
)
def test_wrong_streams_are_refused_with_the_field(messages: list[Message], code: Status, told: str) -> None:
    async def use(made: Node, stub: Stub) -> None:
        got, text = await status(stub.StreamingRecognize(every(*messages)))
        assert got is code and told in text

    with_stub(use, limits=WireLimits(segment_seconds=5.0))


def test_half_samples_and_endless_speech_do_no_harm() -> None:
    async def use(made: Node, stub: Stub) -> None:
        pieces = [sound((TONE * 12)[n : n + 3333]) for n in range(0, len(TONE) * 12 - 1, 3333)]
        found = await results(stub, opening(interim=False), *pieces)
        assert [result.alternatives[0].transcript for result in found] == [
            "Heard 250.",
            "Heard 250.",
            "Heard 100.",
        ]

    with_stub(use, limits=WireLimits(segment_seconds=5.0))


def test_a_full_worker_refuses_and_the_others_go_on() -> None:
    async def use(made: Node, stub: Stub) -> None:
        first = stub.StreamingRecognize()
        await first.write(opening())
        await until(lambda: made.asr_door.taken == 1)
        code, told = await status(stub.StreamingRecognize(every(opening())))
        assert code is Status.RESOURCE_EXHAUSTED and "1 places" in told
        await first.write(sound(TONE))
        await first.done_writing()
        assert [r.results[0].is_final async for r in first][-1]

    with_stub(use, limits=WireLimits(streams=1))


def test_a_busy_engine_is_resource_exhausted() -> None:
    async def use(made: Node, stub: Stub) -> None:
        got = await status(stub.StreamingRecognize(every(opening(), sound(TONE))))
        assert got == (Status.RESOURCE_EXHAUSTED, "scripted: full")

    with_stub(use, asr=TellingAsr(places=0))


def test_a_broken_engine_is_internal_and_a_deaf_one_late() -> None:
    async def broken(made: Node, stub: Stub) -> None:
        assert (await status(stub.StreamingRecognize(every(opening(), sound(TONE)))))[0] is Status.INTERNAL

    async def deaf(made: Node, stub: Stub) -> None:
        call = stub.StreamingRecognize(every(opening(), sound(TONE)))
        assert (await status(call))[0] is Status.DEADLINE_EXCEEDED

    with_stub(broken, asr=TellingAsr(dies=True))
    with_stub(deaf, asr=TellingAsr(deaf=True), limits=WireLimits(final_seconds=0.1))


def test_a_client_that_says_nothing_is_sent_away() -> None:
    async def use(made: Node, stub: Stub) -> None:
        silent = stub.StreamingRecognize()
        opened = stub.StreamingRecognize()
        await opened.write(opening())
        for call in (silent, opened):
            assert (await status(call))[0] is Status.DEADLINE_EXCEEDED

    with_stub(use, limits=WireLimits(idle_seconds=0.1))


def test_a_client_that_vanishes_frees_its_stream_at_once() -> None:
    async def use(made: Node, stub: Stub) -> None:
        calls = [stub.StreamingRecognize() for _ in range(5)]
        for call in calls:
            await call.write(opening(custom_configuration={SEGMENTS: BY_CALLER}))
            await call.write(sound(TONE))
        await until(lambda: len(made.asr.open) == 5)
        for call in calls:
            call.cancel()
        await until(lambda: not made.asr.open, seconds=1.0)

    with_stub(use)


def test_a_message_over_the_limit_is_refused_and_the_connection_stays() -> None:
    async def use(made: Node, stub: Stub) -> None:
        code, _ = await status(stub.StreamingRecognize(every(opening(), sound(bytes(4 * 1024 * 1024)))))
        assert code is Status.RESOURCE_EXHAUSTED
        assert texts(await results(stub, opening(interim=False), sound(TONE))) == [("Heard 50.", True)]

    with_stub(use)


def test_garbage_in_place_of_a_message_is_refused() -> None:
    async def main() -> None:
        async with node() as made, grpc.aio.insecure_channel(made.address) as channel:
            raw = channel.stream_stream("/nvidia.riva.asr.RivaSpeechRecognition/StreamingRecognize")
            code, _ = await status(raw(every(b"\xff\xff\xff garbage")))
            assert code is Status.INVALID_ARGUMENT
            later = raw(every(opening().SerializeToString(), b"\xff\xff\xff garbage"))
            assert (await status(later))[0] is Status.INVALID_ARGUMENT
            whole = channel.unary_unary("/nvidia.riva.asr.RivaSpeechRecognition/Recognize")
            code, told = await status(whole(b"\xff\xff\xff garbage"))
            assert code is Status.INVALID_ARGUMENT and "no message of this service" in told
            served = channel.unary_unary(
                "/nvidia.riva.asr.RivaSpeechRecognition/GetRivaSpeechRecognitionConfig"
            )
            assert (await status(served(b"\xff\xff\xff garbage")))[0] is Status.INVALID_ARGUMENT
            unknown = channel.unary_unary("/nvidia.riva.asr.RivaSpeechRecognition/Guess")
            assert (await status(unknown(b"")))[0] is Status.UNIMPLEMENTED
            stub = asr_grpc.RivaSpeechRecognitionStub(channel)
            assert texts(await results(stub, opening(interim=False), sound(TONE))) == [("Heard 50.", True)]

    run(main())


def test_two_hundred_idle_streams_leave_room_for_one_that_speaks() -> None:
    async def use(made: Node, stub: Stub) -> None:
        idle = [stub.StreamingRecognize() for _ in range(200)]
        for call in idle:
            await call.write(opening())
        await until(lambda: made.asr_door.taken == 200)
        assert texts(await results(stub, opening(interim=False), sound(TONE))) == [("Heard 50.", True)]
        for call in idle:
            call.cancel()

    with_stub(use)


def test_one_client_that_floods_leaves_places_for_others() -> None:
    async def main() -> None:
        limits = WireLimits(streams=40, client_share=0.5)
        async with node(limits=limits) as made, grpc.aio.insecure_channel(made.address) as channel:
            stub = asr_grpc.RivaSpeechRecognitionStub(channel)
            calls = [stub.StreamingRecognize(idle(opening())) for _ in range(500)]
            await until(lambda: made.asr_door.taken == 20 and sum(call.done() for call in calls) == 480)
            refused = [call for call in calls if call.done()]
            assert {await call.code() for call in refused} == {Status.RESOURCE_EXHAUSTED}
            assert "20 places" in await refused[0].details()
            options = [("grpc.use_local_subchannel_pool", 1)]
            async with grpc.aio.insecure_channel(made.address, options=options) as other:
                found = await results(
                    asr_grpc.RivaSpeechRecognitionStub(other), opening(interim=False), sound(TONE)
                )
            assert texts(found) == [("Heard 50.", True)]
            for call in calls:
                call.cancel()
            await until(lambda: made.asr_door.taken == 0)

    run(main())


def test_health_tells_and_keeps_every_watcher_up_to_date() -> None:
    async def main() -> None:
        async with node() as made, grpc.aio.insecure_channel(made.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            ask = health_pb2.HealthCheckRequest
            assert (await stub.Check(ask(service="nvidia.riva.asr.RivaSpeechRecognition"))).status == 1
            assert (await status(stub.Check(ask(service="nowhere"))))[0] is Status.NOT_FOUND
            watches = [aiter(stub.Watch(ask())) for _ in range(3)]
            assert [(await anext(watch)).status for watch in watches] == [1, 1, 1]
            unknown = aiter(stub.Watch(ask(service="nowhere")))
            assert (await anext(unknown)).status == 3
            leaver = stub.Watch(ask())
            await anext(aiter(leaver))
            leaver.cancel()
            made.server.ready(False)
            assert [(await anext(watch)).status for watch in watches] == [2, 2, 2]

    run(main())


def test_reflection_names_every_service() -> None:
    with node_apart() as made, grpc.insecure_channel(made.address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert {ASR_SERVICE, TTS_SERVICE, HEALTH_SERVICE} <= set(database.get_services())
        found = database.FindFileContainingSymbol(ASR_SERVICE)
        assert [method.name for method in found.service[0].method][:2] == ["Recognize", "StreamingRecognize"]
