"""The recogniser behind OpenAI's transcriptions, against a double of the service that has every fault."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
from engines.hosted.openai_asr import OpenAiAsr, OpenAiAsrSettings, OpenAiStream
from media.frame import AudioFrame
from tests.engines.reading import early, failure, final, next_of
from tests.engines.riva.fakes import run, until
from tests.fakes.openai_server import OpenAiServer, openai

FAST: dict[str, Any] = {"final_seconds": 0.4, "connect_seconds": 0.5, "hold_off_seconds": 0.01}


def say(stream: OpenAiStream, count: int, value: int = 8000, rate: int = 8000) -> None:
    for number in range(count):
        pcm = np.full(rate // 50, value, np.int16)
        stream.push(AudioFrame(pcm, rate, number * rate // 50, 0.0))


@asynccontextmanager
async def calling(
    server: OpenAiServer, options: AsrOptions | None = None, **settings: Any
) -> AsyncIterator[OpenAiStream]:
    asr = OpenAiAsr(OpenAiAsrSettings(url=server.url, **{**FAST, **settings}))
    stream = asr.stream(options or AsrOptions())
    try:
        yield stream
    finally:
        await asr.aclose()


def test_each_segment_is_one_request_and_one_final_in_order() -> None:
    async def main() -> None:
        options = AsrOptions(language="de-DE", hot_words=("Offhook", "SIP"))
        async with openai(delay=0.05) as server, calling(server, options) as stream:
            stream.start(1)
            say(stream, 30)
            stream.end()
            server.delay = 0.0  # the second is answered before the first
            stream.start(2)
            say(stream, 20)
            stream.end()
            heard = [await next_of(stream, final), await next_of(stream, final)]
            assert [(t.segment, t.text) for t in heard] == [(1, "Loud 30."), (2, "Loud 20.")]
            asked = server.requests[0]
            assert asked["path"] == "/v1/audio/transcriptions" and asked["language"] == "de"
            assert asked["model"] == "gpt-4o-mini-transcribe" and asked["response_format"] == "json"
            assert asked["prompt"] == "Offhook, SIP"

    run(main())


def test_a_pause_asks_ahead_and_the_end_takes_what_is_there() -> None:
    async def main() -> None:
        async with openai() as server, calling(server) as stream:
            stream.start(1)
            say(stream, 30)
            stream.pause()
            say(stream, 10, value=2)
            assert (await next_of(stream, early)).text == "Loud 30."
            server.deaf = True
            stream.end()
            assert (await next_of(stream, final)).text == "Loud 30."
            assert len(server.requests) == 1

    run(main())


def test_an_early_request_on_its_way_is_taken_over_by_the_end() -> None:
    async def main() -> None:
        async with openai(delay=0.1) as server, calling(server) as stream:
            stream.start(1)
            say(stream, 30)
            stream.pause()
            await until(lambda: bool(server.requests))
            stream.end()
            assert (await next_of(stream, final)).text == "Loud 30."
            assert len(server.requests) == 1

    run(main())


def test_a_pause_that_was_none_is_taken_back() -> None:
    async def main() -> None:
        async with openai() as server, calling(server) as stream:
            stream.start(1)
            say(stream, 30)
            stream.pause()
            await next_of(stream, early)
            stream.resume()
            say(stream, 10)
            stream.end()
            assert (await next_of(stream, final)).text == "Loud 40."

    run(main())


def test_speech_in_a_pause_that_nobody_took_back_is_not_lost() -> None:
    async def main() -> None:
        async with openai() as server, calling(server) as stream:
            stream.start(1)
            say(stream, 30)
            stream.pause()
            say(stream, 10)
            stream.end()
            assert (await next_of(stream, final)).text == "Loud 40."

    run(main())


def test_silence_costs_no_request_and_gives_no_invention() -> None:
    async def main() -> None:
        async with openai() as server, calling(server) as stream:
            for number in range(2):
                stream.start(number)
                say(stream, 30 * number, value=20)
                stream.end()
                assert (await next_of(stream, final)).text == ""
            assert server.requests == []

    run(main())


def test_a_cancelled_segment_gives_nothing() -> None:
    async def main() -> None:
        async with openai(delay=0.05) as server, calling(server) as stream:
            stream.start(1)
            say(stream, 30)
            stream.pause()
            stream.cancel()
            stream.start(2)
            say(stream, 20)
            stream.end()
            assert (await next_of(stream, lambda t: True)).segment == 2

    run(main())


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ({"status": 401}, EngineRefused),
        ({"status": 403}, EngineRefused),
        ({"status": 404}, EngineRefused),
        ({"status": 429}, EngineBusy),
        ({"status": 429, "error": {"error": {"code": "insufficient_quota"}}}, EngineRefused),
        ({"status": 500}, EngineFailed),
        ({"status": 503}, EngineBusy),
        ({"status": 302}, EngineFailed),
        ({"deaf": True}, EngineTimeout),
        ({"cut": True}, EngineFailed),
        ({"garbage": b"not json"}, EngineFailed),
        ({"garbage": b"[" * 5000}, EngineFailed),
        ({"garbage": b'{"text": 5}'}, EngineFailed),
        ({"garbage": b'{"text": "' + b"x" * 2_000_000}, EngineFailed),
    ],
)
def test_every_failure_costs_its_segment_alone_and_says_what_it_is(
    script: dict[str, Any], kind: type[EngineError]
) -> None:
    async def main() -> None:
        async with openai(**script) as server, calling(server) as stream:
            stream.start(1)
            say(stream, 30)
            stream.end()
            assert type(await failure(stream)) is kind
            fresh = OpenAiServer()
            for name in script:
                setattr(server, name, getattr(fresh, name))
            stream.start(2)
            say(stream, 20)
            stream.end()
            heard = await next_of(stream, final)
            assert (heard.segment, heard.text) == (2, "Loud 20.")

    run(main())


def test_an_early_request_that_fails_costs_nothing() -> None:
    async def main() -> None:
        async with openai(status=500) as server, calling(server) as stream:
            stream.start(1)
            say(stream, 30)
            stream.pause()
            await until(lambda: bool(server.requests))
            await asyncio.sleep(0.05)
            server.status = 0
            stream.end()
            assert (await next_of(stream, final)).text == "Loud 30."

    run(main())


def test_a_kept_connection_that_the_far_end_closed_costs_nothing() -> None:
    async def main() -> None:
        async with openai(hang_up=True) as server, calling(server) as stream:
            for number in range(3):
                stream.start(number)
                say(stream, 30)
                stream.end()
                assert (await next_of(stream, final)).text == "Loud 30."

    run(main())


def test_nobody_there_fails_at_once_and_is_remembered() -> None:
    async def main() -> None:
        settings = OpenAiAsrSettings(url="http://127.0.0.1:1", **{**FAST, "hold_off_seconds": 5.0})
        asr = OpenAiAsr(settings)
        with pytest.raises(EngineFailed):
            await asr.warm_up()
        with pytest.raises(EngineFailed):
            asr.stream(AsrOptions())
        assert asr.down
        await asr.aclose()

    run(main())


def test_the_key_is_sent_and_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with openai(key="hush-hush") as server:
            good = OpenAiAsr(OpenAiAsrSettings(url=server.url, api_key="hush-hush", **FAST))
            await good.warm_up()
            await good.aclose()
            bad = OpenAiAsr(OpenAiAsrSettings(url=server.url, api_key="hush-wrong", **FAST))
            with pytest.raises(EngineRefused, match="api_key") as told:
                await bad.warm_up()
            assert "hush" not in str(told.value) and "hush" not in repr(bad._settings)
            server.key, server.status = "", 400
            server.error = {"error": {"message": "no model for hush-wrong"}}
            with pytest.raises(EngineRefused, match="no model") as echoed:
                await bad.warm_up()
            assert "hush" not in str(echoed.value)
            await bad.aclose()

    with caplog.at_level(logging.DEBUG):
        run(main())
    assert "hush" not in caplog.text


def test_bounds() -> None:
    async def main() -> None:
        async with openai(delay=0.1) as server:
            settings = OpenAiAsrSettings(
                url=server.url, max_streams=1, max_requests=1, segment_seconds=1.0, **FAST
            )
            asr = OpenAiAsr(settings)
            with pytest.raises(EngineRefused, match="sample rate"):
                asr.stream(AsrOptions(sample_rate=96000))
            stream = asr.stream(AsrOptions())
            with pytest.raises(EngineBusy):
                asr.stream(AsrOptions())
            stream.start(1)
            say(stream, 60)
            assert "longer than 1 s" in str(await failure(stream))
            for number in (2, 3):
                stream.start(number)
                say(stream, 20)
                stream.end()
            assert (await next_of(stream, final)).segment == 2
            assert isinstance(await failure(stream), EngineBusy)
            assert asr.data == "cloud"
            await asr.aclose()

    run(main())


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"url": "wss://x"}, "url:"),
        ({"url": "https://x/?q=1"}, "url:"),
        ({"url": "http://x", "api_key": "k"}, "api_key: would be sent in the clear"),
        ({"model": ""}, "model:"),
        ({"max_requests": 0}, "max_requests:"),
    ],
)
def test_settings_name_the_field_and_the_cure(given: dict[str, Any], names: str) -> None:
    with pytest.raises(ValueError, match=names):
        OpenAiAsrSettings(**given)


def test_it_is_in_the_registry() -> None:
    async def main() -> None:
        assert registry.asr("openai").name == "openai"

    run(main())
