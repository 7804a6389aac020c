"""The recogniser behind the wire: our worker, plain Riva, and everything that may go wrong between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engines import registry
from engines.base import (
    AsrOptions,
    EngineBusy,
    EngineError,
    EngineFailed,
    EngineRefused,
    EngineTimeout,
)
from engines.riva.client_asr import RivaAsr, RivaAsrSettings, RivaStream
from engines.riva.limits import WireLimits
from engines.traits import AsrTraits
from media.frame import AudioFrame
from tests.engines.reading import early, failure, final, next_of
from tests.engines.riva.fakes import Node, TellingAsr, node, run, until
from tests.engines.riva.foreign import PlainAsr, garbling, listening, plain

OPTIONS = AsrOptions()


def frame(number: int, value: int = 8000, rate: int = 8000) -> AudioFrame:
    return AudioFrame(np.full(rate // 50, value, np.int16), rate, number * rate // 50, 0.0)


def say(stream: RivaStream, count: int, value: int = 8000) -> None:
    for number in range(count):
        stream.push(frame(number, value))


def with_worker(
    use: Callable[[Node, RivaAsr], Any],
    asr: TellingAsr | None = None,
    limits: WireLimits | None = None,
    **settings: Any,
) -> None:
    async def main() -> None:
        async with node(asr, limits=limits) as made:
            client = RivaAsr(RivaAsrSettings(address=made.address, **settings))
            try:
                await client.warm_up()
                await use(made, client)
            finally:
                await client.aclose()
            await until(lambda: made.asr_door.taken == 0 and not made.asr.open)

    run(main())


def with_server(address: str, **settings: Any) -> RivaAsr:
    return RivaAsr(RivaAsrSettings(address=address, connect_seconds=0.3, start_seconds=0.3, **settings))


def test_segments_of_a_call_come_back_in_order_with_one_final_each() -> None:
    async def use(made: Node, client: RivaAsr) -> None:
        stream = client.stream(OPTIONS)
        for number, length in ((1, 30), (2, 60)):
            stream.start(number)
            say(stream, length)
        stream.end()
        assert (await next_of(stream, final)).text == "Heard 30."
        got = await next_of(stream, final)
        assert (got.segment, got.text, got.confidence) == (2, "Heard 60.", 0.75)
        assert [word.text for word in got.words] == ["Heard"]
        assert made.asr.told.count("start") == 2
        await stream.aclose()

    with_worker(use)


def test_interims_early_decodes_and_their_withdrawal_cross_the_wire() -> None:
    async def use(made: Node, client: RivaAsr) -> None:
        stream = client.stream(OPTIONS)
        stream.start(1)
        say(stream, 30)
        interim = await next_of(stream, lambda t: not t.is_final)
        assert (interim.text, interim.stable_chars, interim.early) == ("Heard 25.", 6, False)
        stream.pause()
        assert (await next_of(stream, early)).text == "Heard 30."
        stream.resume()
        say(stream, 10)
        stream.pause()
        stream.pause()
        assert (await next_of(stream, early)).text == "Heard 40."
        stream.end()
        assert (await next_of(stream, final)).text == "Heard 40."
        assert made.asr.told == ["start", "pause", "resume", "pause", "end"]
        await stream.aclose()

    with_worker(use)


def test_a_segment_without_speech_has_an_empty_final() -> None:
    async def use(made: Node, client: RivaAsr) -> None:
        stream = client.stream(OPTIONS)
        stream.start(1)
        say(stream, 30, value=0)
        stream.end()
        assert (await next_of(stream, final)).text == ""
        stream.start(2)
        stream.end()
        assert (await next_of(stream, final)).segment == 2
        await stream.aclose()

    with_worker(use)


def test_a_cancelled_segment_gives_nothing_and_frees_the_worker() -> None:
    async def use(made: Node, client: RivaAsr) -> None:
        stream = client.stream(OPTIONS)
        stream.start(1)
        say(stream, 30)
        await until(lambda: len(made.asr.open) == 1)
        stream.cancel()
        await until(lambda: not made.asr.open, seconds=1.0)
        stream.start(2)
        say(stream, 5)
        stream.end()
        assert (await next_of(stream, lambda t: True)).segment == 2
        await stream.aclose()

    with_worker(use)


@pytest.mark.parametrize("encoding", ["linear", "mulaw", "alaw"])
def test_options_and_encodings_reach_the_engine(encoding: str) -> None:
    async def use(made: Node, client: RivaAsr) -> None:
        asked = AsrOptions("de-DE", 16000, False, ("Offhook", "dial"), (3.0, 0.0))
        stream = client.stream(asked)
        stream.start(1)
        for number in range(10):
            stream.push(frame(number, rate=16000))
        stream.end()
        assert (await next_of(stream, final)).text == "Heard 10."
        assert made.asr.asked == [asked]
        await stream.aclose()

    with_worker(use, encoding=encoding)


def test_sound_is_gathered_into_messages_and_a_pause_sends_the_rest() -> None:
    async def use(made: Node, client: RivaAsr) -> None:
        stream = client.stream(OPTIONS)
        stream.start(1)
        for number in range(29):
            stream.push(frame(number))
            await asyncio.sleep(0.001)
        interim = await next_of(stream, lambda t: True)
        assert interim.text == "Heard 25."
        stream.pause()
        assert (await next_of(stream, early)).text == "Heard 29."
        stream.push(frame(29))
        stream.end()
        assert (await next_of(stream, final)).text == "Heard 30."
        await stream.aclose()

    with_worker(use, message_ms=100)


def test_hot_words_are_kept_from_a_worker_that_takes_none() -> None:
    asr = TellingAsr()
    asr.traits = AsrTraits(punctuation=False)

    async def use(made: Node, client: RivaAsr) -> None:
        stream = client.stream(replace(OPTIONS, hot_words=("Offhook",)))
        stream.start(1)
        say(stream, 10)
        stream.end()
        assert (await next_of(stream, final)).text == "heard 10"
        await stream.aclose()

    with_worker(use, asr)


def test_one_connection_carries_many_calls() -> None:
    async def use(made: Node, client: RivaAsr) -> None:
        streams = [client.stream(OPTIONS) for _ in range(50)]
        for number, stream in enumerate(streams):
            stream.start(1)
            say(stream, 10 + number)
            stream.end()
        finals = await asyncio.gather(*(next_of(stream, final) for stream in streams))
        assert [transcript.text for transcript in finals] == [f"Heard {10 + n}." for n in range(50)]
        assert client.stats()["streams"] == 50
        for stream in streams:
            await stream.aclose()
        assert client.stats()["streams"] == 0

    with_worker(use)


def test_a_server_that_cuts_by_itself_still_gives_one_final() -> None:
    async def main() -> None:
        foreign = PlainAsr()
        async with plain(asr=foreign) as address:
            client = with_server(address, model="conformer")
            await client.warm_up()
            stream = client.stream(replace(OPTIONS, hot_words=("Offhook",)))
            stream.start(7)
            stream.push(frame(0))
            interim = await next_of(stream, lambda t: True)
            assert (interim.text, interim.stable_chars) == ("part 0 so far", 0)
            stream.pause()
            stream.push(frame(1, value=0))
            assert (await next_of(stream, early)).text == "part 0"
            stream.resume()
            stream.push(frame(2))
            grown = await next_of(stream, lambda t: "part 1" in t.text)
            assert (grown.text, grown.stable_chars) == ("part 0 part 1 so far", 7)
            stream.end()
            got = await next_of(stream, final)
            assert (got.segment, got.text, got.confidence) == (7, "part 0 part 1", 1.0)
            (config,) = foreign.configs
            assert config.config.model == "conformer" and config.config.enable_automatic_punctuation
            assert config.config.speech_contexts[0].boost == 20.0
            assert not config.config.custom_configuration and not foreign.unknown
            await client.aclose()

    run(main())


def test_a_full_worker_is_busy_and_so_are_we() -> None:
    async def use(made: Node, client: RivaAsr) -> None:
        first, second = client.stream(OPTIONS), client.stream(OPTIONS)
        with pytest.raises(EngineBusy):
            client.stream(OPTIONS)
        first.start(1)
        say(first, 5)
        await until(lambda: made.asr_door.taken == 1)
        second.start(1)
        assert isinstance(await failure(second), EngineBusy)
        first.end()
        assert (await next_of(first, final)).text == "Heard 5."
        second.start(2)
        say(second, 5)
        second.end()
        assert (await next_of(second, final)).segment == 2
        for stream in (first, second):
            await stream.aclose()

    with_worker(use, limits=WireLimits(streams=1), max_streams=2)


def test_no_final_and_no_words_are_noticed_in_time() -> None:
    async def use(made: Node, client: RivaAsr) -> None:
        stream = client.stream(OPTIONS)
        stream.start(1)
        say(stream, 10, value=1)
        stream.end()
        error = await failure(stream)
        assert isinstance(error, EngineTimeout) and "no final" in str(error)
        stream.start(2)
        say(stream, 20)
        error = await failure(stream)
        assert isinstance(error, EngineTimeout) and "no word" in str(error)
        await stream.aclose()

    with_worker(use, TellingAsr(deaf=True), first_seconds=0.2, final_seconds=0.2)


def test_silence_and_calls_without_interims_owe_no_words() -> None:
    async def use(made: Node, client: RivaAsr) -> None:
        for options, value in ((OPTIONS, 1), (replace(OPTIONS, interim=False), 8000)):
            stream = client.stream(options)
            stream.start(1)
            say(stream, 20, value)
            await asyncio.sleep(0.3)
            stream.end()
            assert (await next_of(stream, final)).text == "Heard 20."
            await stream.aclose()

    with_worker(use, first_seconds=0.1)


def test_sound_that_nobody_takes_is_bounded() -> None:
    async def main() -> None:
        async with listening(lambda writer: None) as address:
            client = with_server(address, unsent_seconds=1.0)
            stream = client.stream(OPTIONS)
            stream.start(1)
            say(stream, 200)
            assert isinstance(await failure(stream), EngineTimeout)
            await client.aclose()

    run(main())


def test_an_engine_that_breaks_costs_its_segment_only() -> None:
    async def use(made: Node, client: RivaAsr) -> None:
        stream = client.stream(OPTIONS)
        stream.start(1)
        say(stream, 5)
        stream.end()
        assert isinstance(await failure(stream), EngineFailed)
        made.asr.dies = False
        stream.start(2)
        say(stream, 5)
        stream.end()
        assert (await next_of(stream, final)).segment == 2
        assert client.stats()["failed_EngineFailed"] == 1
        await stream.aclose()

    with_worker(use, TellingAsr(dies=True))


def test_what_the_server_refuses_is_not_tried_again() -> None:
    async def use(made: Node, client: RivaAsr) -> None:
        stream = client.stream(OPTIONS)
        stream.start(1)
        error = await failure(stream)
        assert isinstance(error, EngineRefused) and not error.retryable and "model" in str(error)
        await stream.aclose()

    async def main() -> None:
        async with node() as made:
            client = with_server(made.address, model="conformer")
            await use(made, client)
            with pytest.raises(EngineRefused):
                client.stream(AsrOptions(sample_rate=4000))
            await client.aclose()

    run(main())


def test_a_worker_that_dies_in_a_segment_is_noticed_and_found_again() -> None:
    async def main() -> None:
        async with node() as made:
            port = made.server.port
            client = RivaAsr(RivaAsrSettings(address=made.address))
            await client.warm_up()
            stream = client.stream(OPTIONS)
            stream.start(1)
            say(stream, 5)
            await until(lambda: made.asr_door.taken == 1)
            await made.server.aclose(grace=0.0)
            assert isinstance(await failure(stream), EngineFailed)
            await until(lambda: bool(client.down))
            with pytest.raises(EngineFailed, match="does not serve"):
                client.stream(OPTIONS)
            stream.start(2)
            assert isinstance(await failure(stream), EngineFailed)
        async with node(port=port):
            await until(lambda: not client.down)
            stream.start(3)
            say(stream, 5)
            stream.end()
            assert (await next_of(stream, final)).text == "Heard 5."
            await client.aclose()

    run(main())


def test_a_worker_that_drains_is_known_to_be_down() -> None:
    async def use(made: Node, client: RivaAsr) -> None:
        made.server.ready(False)
        await until(lambda: "not ready" in client.down)
        made.server.ready(True)
        await until(lambda: not client.down)
        assert client.stats()["down"] == 0

    with_worker(use)


def test_nobody_there_is_said_when_we_start_and_when_a_call_comes() -> None:
    async def main() -> None:
        client = with_server("127.0.0.1:1")
        with pytest.raises(EngineError, match=r"127\.0\.0\.1:1"):
            await client.warm_up()
        await until(lambda: bool(client.down))
        with pytest.raises(EngineFailed):
            client.stream(OPTIONS)
        await client.aclose()
        await client.aclose()
        with pytest.raises(EngineFailed, match="closed"):
            client.stream(OPTIONS)

    run(main())


def nonsense(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-nobody\r\n" * 10)


@pytest.mark.parametrize("talk", [lambda writer: None, nonsense, lambda writer: writer.close()])
def test_who_does_not_speak_our_protocol_fails_in_time(talk: Callable[[asyncio.StreamWriter], None]) -> None:
    async def main() -> None:
        async with listening(talk) as address:
            client = with_server(address)
            stream = client.stream(OPTIONS)
            stream.start(1)
            say(stream, 20)
            stream.end()
            assert isinstance(await failure(stream), EngineTimeout | EngineFailed)
            await client.aclose()

    run(main())


def test_answers_that_are_no_messages_fail_the_segment() -> None:
    async def main() -> None:
        async with garbling() as address:
            client = with_server(address)
            stream = client.stream(OPTIONS)
            stream.start(1)
            say(stream, 20)
            assert isinstance(await failure(stream), EngineFailed)
            await client.aclose()

    run(main())


def test_too_many_segments_at_once_are_refused() -> None:
    async def use(made: Node, client: RivaAsr) -> None:
        stream = client.stream(OPTIONS)
        for number in range(17):
            stream.start(number)
        assert isinstance(await failure(stream), EngineBusy)
        await stream.aclose()
        stream.start(99)
        stream.push(frame(0))
        assert [t async for t in stream.results()] == []

    with_worker(use, TellingAsr(deaf=True))


def test_a_frame_of_another_rate_is_an_error_of_ours() -> None:
    async def use(made: Node, client: RivaAsr) -> None:
        stream = client.stream(OPTIONS)
        with pytest.raises(ValueError, match="16000"):
            stream.push(frame(0, rate=16000))
        await stream.aclose()

    with_worker(use)


def test_it_is_found_by_its_name() -> None:
    engine = registry.asr("riva", RivaAsrSettings(address="speech:2233"))
    assert engine.name == "riva"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"address": "nowhere"}, "address"), ({"address": "here:99999"}, "address"),
        ({"api_key": "k"}, "api_key"), ({"api_key": "k\n", "tls": True}, "api_key"),
        ({"ca_file": "a.pem"}, "ca_file"), ({"certificate": "a.pem", "tls": True}, "key"),
        ({"metadata": {"Upper": "x"}}, "metadata"), ({"metadata": {"x": "é"}}, "metadata"),
        ({"encoding": "opus"}, "encoding"), ({"final_seconds": 0}, "final_seconds"),
        ({"first_seconds": 0.01}, "first_seconds"), ({"boost": 101}, "boost"),
        ({"message_ms": 5}, "message_ms"),
        ({"connect_seconds": 0}, "connect_seconds"), ({"max_streams": 0}, "max_streams"),
    ],
)  # fmt: skip
def test_settings_name_the_field(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        RivaAsrSettings(**fields)


def test_the_key_is_shown_nowhere() -> None:
    settings = RivaAsrSettings(address="nim:443", tls=True, api_key="hush")
    assert "hush" not in repr(settings)
