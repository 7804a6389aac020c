"""The voice behind the wire: our worker, plain Riva, and everything that may go wrong between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from engines import registry
from engines.base import (
    EngineBusy,
    EngineError,
    EngineFailed,
    EngineRefused,
    EngineTimeout,
    SpeechChunk,
    TtsOptions,
)
from engines.riva.client_tts import RivaTts, RivaTtsSettings
from engines.riva.limits import WireLimits
from tests.engines.riva.fakes import HummingTts, Node, node, run, until
from tests.engines.riva.foreign import PlainTts, garbling, listening, plain

OPTIONS = TtsOptions()


async def spoken(
    client: RivaTts, text: str = "one two three", options: TtsOptions = OPTIONS
) -> list[SpeechChunk]:
    return [chunk async for chunk in client.speak(text, options)]


async def failure(client: RivaTts) -> EngineError:
    try:
        await spoken(client)
    except EngineError as error:
        return error
    raise AssertionError("no error")


def with_worker(
    use: Callable[[Node, RivaTts], Any],
    tts: HummingTts | None = None,
    limits: WireLimits | None = None,
    **settings: Any,
) -> None:
    async def main() -> None:
        async with node(tts=tts, limits=limits) as made:
            client = RivaTts(RivaTtsSettings(address=made.address, **settings))
            try:
                await client.warm_up()
                await use(made, client)
            finally:
                await client.aclose()
            await until(lambda: made.tts_door.taken == 0 and made.tts.speaking == 0)

    run(main())


def with_server(address: str, **settings: Any) -> RivaTts:
    fields = {"connect_seconds": 0.3, "start_seconds": 0.3, "first_seconds": 0.3, **settings}
    return RivaTts(RivaTtsSettings(address=address, **fields))


def test_speech_comes_in_chunks_with_its_words() -> None:
    async def use(made: Node, client: RivaTts) -> None:
        assert client.voices == ("hum", "buzz")
        asked = TtsOptions(16000, "buzz", "en-US", 1.25, 0.5)
        chunks = await spoken(client, options=asked)
        assert [len(chunk.pcm) for chunk in chunks] == [1600, 1600, 1600]
        assert [int(chunk.pcm[0]) for chunk in chunks] == [1000, 1001, 1002]
        assert [(w.text, w.start) for chunk in chunks for w in chunk.words][1] == ("two", 0.1)
        assert made.tts.asked == [asked]
        assert await spoken(client, "  ") == []

    with_worker(use)


def test_closing_the_iterator_stops_the_voice_far_away() -> None:
    async def use(made: Node, client: RivaTts) -> None:
        chunks = client.speak("la", OPTIONS)
        async with aclosing(chunks) as speech:  # type: ignore[type-var]
            async for _ in speech:
                break
        await until(lambda: made.tts.speaking == 0, seconds=1.0)

    with_worker(use, HummingTts(endless=True))


def test_plain_riva_is_asked_in_its_own_words() -> None:
    async def main() -> None:
        foreign = PlainTts()
        async with plain(tts=foreign) as address:
            client = with_server(address, voice="English-US.Male-1", language="en_US")
            await client.warm_up()
            assert client.voices == ("English-US.Male-1", "English-US.Female-1")
            chunks = await spoken(client, "Tom & Jerry", TtsOptions(speed=1.2))
            assert np.concatenate([chunk.pcm for chunk in chunks]).tolist() == [1, 2, 3]
            asked = foreign.asked[-1]
            assert asked.text == '<speak><prosody rate="120%">Tom &amp; Jerry</prosody></speak>'
            assert (asked.voice_name, asked.language_code) == ("English-US.Male-1", "en_US")
            assert not asked.custom_configuration and not asked.enable_word_time_offsets
            await spoken(client)
            assert [request.enable_word_time_offsets for request in foreign.asked] == [True, False, False]
            await client.aclose()

    run(main())


def test_half_a_sample_at_the_end_is_a_failure() -> None:
    async def main() -> None:
        async with plain(tts=PlainTts(b"\1\0\2")) as address:
            client = with_server(address, word_times=False)
            with pytest.raises(EngineFailed, match="within a sample"):
                await spoken(client)
            await client.aclose()

    run(main())


def test_a_voice_that_is_late_or_never_ends_is_given_up() -> None:
    async def mute(made: Node, client: RivaTts) -> None:
        assert isinstance(await failure(client), EngineTimeout)
        assert client.stats()["late"] == 1

    async def endless(made: Node, client: RivaTts) -> None:
        assert "1 s of speech" in str(await failure(client))

    with_worker(mute, HummingTts(mute=True), first_seconds=0.1)
    with_worker(endless, HummingTts(endless=True), longest_seconds=1.0)


def test_a_listener_who_takes_his_time_is_no_gap() -> None:
    async def use(made: Node, client: RivaTts) -> None:
        count = 0
        async for _ in client.speak("one two three", OPTIONS):
            count += 1
            await asyncio.sleep(0.15)
        assert count == 3

    with_worker(use, gap_seconds=0.1)


def test_errors_of_the_worker_keep_their_meaning() -> None:
    async def use(made: Node, client: RivaTts) -> None:
        assert isinstance(await failure(client), EngineFailed)
        with pytest.raises(EngineRefused, match="voice_name"):
            await spoken(client, options=TtsOptions(voice="robot"))
        for wrong in (TtsOptions(sample_rate=4000), TtsOptions(speed=9.0)):
            with pytest.raises(EngineRefused):
                await spoken(client, options=wrong)

    async def full(made: Node, client: RivaTts) -> None:
        first = client.speak("la", OPTIONS)
        await anext(first)
        assert isinstance(await failure(client), EngineBusy)
        await first.aclose()  # type: ignore[attr-defined]

    with_worker(use, HummingTts(dies_after=1))
    with_worker(full, HummingTts(endless=True), WireLimits(streams=1))


def test_a_worker_that_dies_in_speech_is_noticed_and_found_again() -> None:
    async def main() -> None:
        async with node(tts=HummingTts(endless=True)) as made:
            port = made.server.port
            client = RivaTts(RivaTtsSettings(address=made.address))
            await client.warm_up()
            speech = client.speak("la", OPTIONS)
            await anext(speech)
            await made.server.aclose(grace=0.0)
            with pytest.raises(EngineFailed):
                async for _ in speech:
                    pass
            await until(lambda: bool(client.down))
            assert isinstance(await failure(client), EngineFailed)
        async with node(port=port):
            await until(lambda: not client.down)
            assert len(await spoken(client)) == 3
            await client.aclose()

    run(main())


@pytest.mark.parametrize("talk", [lambda writer: None, lambda writer: writer.close()])
def test_who_does_not_speak_our_protocol_fails_in_time(talk: Callable[[asyncio.StreamWriter], None]) -> None:
    async def main() -> None:
        async with listening(talk) as address:
            client = with_server(address)
            assert isinstance(await failure(client), EngineTimeout | EngineFailed)
            await client.aclose()

    run(main())


def test_answers_that_are_no_messages_fail_the_passage() -> None:
    async def main() -> None:
        async with garbling() as address:
            client = with_server(address)
            assert isinstance(await failure(client), EngineFailed)
            await client.aclose()

    run(main())


def test_cancelling_the_speaker_is_no_failure_of_the_server() -> None:
    async def use(made: Node, client: RivaTts) -> None:
        speaking = asyncio.ensure_future(spoken(client))
        await until(lambda: made.tts.speaking == 1)
        speaking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await speaking

    with_worker(use, HummingTts(mute=True))


def test_it_is_found_by_its_name() -> None:
    engine = registry.tts("riva", RivaTtsSettings(voice="hum"))
    assert (engine.name, engine.voices) == ("riva", ("hum",))


@pytest.mark.parametrize("name", ["first_seconds", "gap_seconds", "longest_seconds", "keepalive_wait"])
def test_settings_name_the_field(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        RivaTtsSettings(**{name: 0.0})  # type: ignore[arg-type]
