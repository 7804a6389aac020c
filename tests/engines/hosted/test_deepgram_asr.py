"""The recogniser behind Deepgram's protocol, against a double of the service that has every fault."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines import registry
from engines.base import (
    AsrOptions,
    EngineBusy,
    EngineError,
    EngineFailed,
    EngineRefused,
    EngineTimeout,
)
from engines.hosted.deepgram import Notice, Results, read
from engines.hosted.deepgram_asr import DeepgramAsr, DeepgramAsrSettings
from engines.hosted.deepgram_stream import DeepgramStream
from media.clock import now
from media.frame import AudioFrame
from tests.engines.reading import early, failure, final, next_of
from tests.engines.riva.fakes import run, until
from tests.fakes.deepgram_server import DeepgramServer, deepgram

FAST: dict[str, Any] = {
    "first_seconds": 0.4,
    "final_seconds": 0.4,
    "connect_seconds": 0.5,
    "hold_off_seconds": 0.2,
    "keep_alive_seconds": 0.1,
}


def frame(number: int, value: int = 8000, rate: int = 8000) -> AudioFrame:
    return AudioFrame(np.full(rate // 50, value, np.int16), rate, number * rate // 50, 0.0)


def say(stream: DeepgramStream, count: int, value: int = 8000) -> None:
    for number in range(count):
        stream.push(frame(number, value))


@asynccontextmanager
async def calling(
    server: DeepgramServer, options: AsrOptions | None = None, **settings: Any
) -> AsyncIterator[DeepgramStream]:
    asr = DeepgramAsr(DeepgramAsrSettings(url=server.url, **{**FAST, **settings}))
    stream = asr.stream(options or AsrOptions())
    try:
        yield stream
    finally:
        await asr.aclose()


def test_segments_come_back_in_order_with_interims_words_and_times_of_their_own() -> None:
    async def main() -> None:
        async with deepgram() as server, calling(server) as stream:
            stream.start(1)
            say(stream, 30)
            shown = await next_of(stream, lambda t: not t.is_final)
            assert shown.text.startswith("Loud") and not shown.early
            stream.end()
            stream.start(2)
            say(stream, 20)
            stream.end()
            first, second = await next_of(stream, final), await next_of(stream, final)
            assert [(t.segment, t.text, t.confidence) for t in (first, second)] == [
                (1, "Loud 30.", 0.5),
                (2, "Loud 20.", 0.5),
            ]
            assert first.stable_chars == len(first.text)
            (word,) = second.words
            assert (word.text, round(word.start, 2), round(word.end, 2)) == ("Loud", 0.0, 0.4)
            assert server.connections == 1
            (query,) = server.queries
            assert query["sample_rate"] == ["8000"] and query["endpointing"] == ["false"]
            assert query["mip_opt_out"] == ["true"] and query["language"] == ["en-US"]

    run(main())


def test_a_pause_decodes_ahead_and_the_end_takes_what_is_there() -> None:
    async def main() -> None:
        async with deepgram() as server, calling(server) as stream:
            stream.start(1)
            say(stream, 30)
            stream.pause()
            say(stream, 10, value=3)
            assert (await next_of(stream, early)).text == "Loud 30."
            server.deaf = True  # nothing more is needed of the service
            stream.end()
            assert (await next_of(stream, final)).text == "Loud 30."

    run(main())


def test_a_pause_that_was_none_loses_and_doubles_nothing() -> None:
    async def main() -> None:
        async with deepgram() as server, calling(server) as stream:
            stream.start(1)
            say(stream, 30)
            stream.pause()
            await next_of(stream, early)
            say(stream, 5, value=3)
            stream.resume()
            say(stream, 15)
            stream.end()
            assert (await next_of(stream, final)).text == "Loud 30. Loud 15."

    run(main())


def test_speech_in_a_pause_that_nobody_took_back_is_not_lost() -> None:
    async def main() -> None:
        async with deepgram() as server, calling(server) as stream:
            stream.start(1)
            say(stream, 30)
            stream.pause()
            say(stream, 10)
            stream.end()
            assert (await next_of(stream, final)).text in ("Loud 30. Loud 10.", "Loud 40.")

    run(main())


def test_a_cancelled_segment_gives_nothing_and_leaves_nothing_to_the_next() -> None:
    async def main() -> None:
        async with deepgram() as server, calling(server) as stream:
            stream.start(1)
            say(stream, 30)
            await next_of(stream, lambda t: t.segment == 1)
            stream.cancel()
            stream.start(2)
            say(stream, 20)
            stream.end()
            heard = await next_of(stream, lambda t: True)
            while not heard.is_final:
                assert heard.segment == 2
                heard = await next_of(stream, lambda t: True)
            assert heard.text == "Loud 20."

    run(main())


def test_an_empty_segment_is_final_at_once_and_silence_is_too() -> None:
    async def main() -> None:
        async with deepgram(mute_finalize=True) as server, calling(server, final_seconds=3.0) as stream:
            stream.start(1)
            stream.end()
            assert (await next_of(stream, final)).text == ""
            stream.start(2)
            say(stream, 30, value=0)
            await until(lambda: server.live == 1)
            await asyncio.sleep(0.1)
            stream.end()
            assert (await next_of(stream, final)).text == ""

    run(main())


def test_a_late_answer_of_the_segment_before_settles_no_later_one() -> None:
    async def main() -> None:
        async with deepgram(late_finalize=0.3) as server, calling(server, final_seconds=2.0) as stream:
            stream.start(1)
            say(stream, 30)
            stream.end()
            stream.start(2)
            say(stream, 40)
            stream.end()
            heard = [await next_of(stream, final), await next_of(stream, final)]
            assert [(t.segment, t.text) for t in heard] == [(1, "Loud 30."), (2, "Loud 40.")]

    run(main())


def test_silence_between_turns_is_kept_alive() -> None:
    async def main() -> None:
        async with deepgram() as server, calling(server) as stream:
            stream.start(1)
            say(stream, 10)
            stream.end()
            await next_of(stream, final)
            await until(lambda: server.texts.count(json.dumps({"type": "KeepAlive"})) >= 3)
            assert server.connections == 1

    run(main())


def test_mu_law_hot_words_and_other_rates_are_sent_as_asked() -> None:
    async def main() -> None:
        options = AsrOptions(sample_rate=16000, hot_words=("Offhook", "SIP"), boosts=(2.0, 0.0))
        async with (
            deepgram() as server,
            calling(server, options, hot_words="keywords", encoding="mulaw") as stream,
        ):
            stream.start(1)
            for number in range(20):
                stream.push(frame(number, rate=16000))
            stream.end()
            assert (await next_of(stream, final)).text == "Loud 20."
            assert server.queries[0]["keywords"] == ["Offhook:2", "SIP"]
            assert server.queries[0]["encoding"] == ["mulaw"]

    run(main())


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ({"status": 401}, EngineRefused),
        ({"status": 402}, EngineRefused),
        ({"status": 400}, EngineRefused),
        ({"status": 429}, EngineBusy),
        ({"status": 503}, EngineBusy),
        ({"status": 500}, EngineFailed),
        ({"status": 504}, EngineTimeout),
        ({"cut_after": 0.4}, EngineFailed),
        ({"cut_after": 0.4, "close_code": 1008}, EngineRefused),
        ({"cut_after": 0.4, "close_code": 1011}, EngineFailed),
        ({"cut_after": 0.4, "close_code": 1000}, EngineFailed),
        ({"deaf": True}, EngineTimeout),
        ({"garbage": "not json"}, EngineFailed),
        ({"garbage": "[" * 5000}, EngineFailed),
        ({"garbage": "{}"}, EngineFailed),
        ({"garbage": json.dumps({"type": "Error", "description": "no"})}, EngineFailed),
    ],
)
def test_every_failure_costs_its_segment_alone_and_says_what_it_is(
    script: dict[str, Any], kind: type[EngineError]
) -> None:
    async def main() -> None:
        async with deepgram(**script) as server, calling(server, hold_off_seconds=0.01) as stream:
            stream.start(1)
            say(stream, 30)
            stream.end()
            assert type(await failure(stream)) is kind
            for name in script:
                setattr(server, name, type(script[name])())
            stream.start(2)
            say(stream, 20)
            stream.end()
            heard = await next_of(stream, final)
            assert (heard.segment, heard.text) == (2, "Loud 20.")

    run(main())


def test_a_server_that_is_not_there_fails_within_the_deadline_and_is_not_asked_again_at_once() -> None:
    async def main() -> None:
        asr = DeepgramAsr(DeepgramAsrSettings(url="ws://127.0.0.1:1", **FAST))
        stream, begun = asr.stream(AsrOptions()), now()
        stream.start(1)
        say(stream, 30)
        stream.end()
        assert isinstance(await failure(stream), EngineFailed)
        assert now() - begun < 1.0
        with pytest.raises(EngineFailed):
            asr.stream(AsrOptions())
        assert asr.down and asr.stats()["down"] == 1
        with pytest.raises(EngineError):
            await asr.warm_up()
        await asr.aclose()

    run(main())


def test_a_server_that_takes_the_connection_and_says_nothing_is_given_up() -> None:
    async def main() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        hanging = await asyncio.start_server(silent, "127.0.0.1", 0)
        url = f"ws://127.0.0.1:{hanging.sockets[0].getsockname()[1]}"
        asr = DeepgramAsr(DeepgramAsrSettings(url=url, **FAST))
        stream = asr.stream(AsrOptions())
        stream.start(1)
        say(stream, 30)
        assert isinstance(await failure(stream), EngineTimeout)
        await asr.aclose()
        hanging.close()

    run(main())


def test_retry_after_is_honoured() -> None:
    async def main() -> None:
        async with deepgram(status=429, headers={"Retry-After": "60"}) as server:
            asr = DeepgramAsr(DeepgramAsrSettings(url=server.url, **FAST))
            with pytest.raises(EngineBusy):
                await asr.warm_up()
            await asyncio.sleep(0.3)
            with pytest.raises(EngineBusy):
                asr.stream(AsrOptions())
            assert server.connections == 0
            await asr.aclose()

    run(main())


def test_the_key_is_sent_and_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with deepgram(key="hush-hush") as server:
            good = DeepgramAsr(DeepgramAsrSettings(url=server.url, api_key="hush-hush", **FAST))
            await good.warm_up()
            await good.aclose()
            bad = DeepgramAsr(DeepgramAsrSettings(url=server.url, api_key="hush-wrong", **FAST))
            with pytest.raises(EngineRefused, match="api_key") as told:
                await bad.warm_up()
            assert "hush" not in str(told.value) and "hush" not in repr(bad._settings)
            server.key, server.status = "", 500
            with pytest.raises(EngineFailed) as echoed:
                await bad.warm_up()
            assert "hush" not in str(echoed.value)
            await bad.aclose()

    with caplog.at_level(logging.DEBUG):
        run(main())
    assert "hush" not in caplog.text


def test_admission_and_what_cannot_be_done() -> None:
    async def main() -> None:
        async with deepgram() as server:
            asr = DeepgramAsr(DeepgramAsrSettings(url=server.url, max_streams=1, hot_words="off", **FAST))
            with pytest.raises(EngineRefused, match="sample rate"):
                asr.stream(AsrOptions(sample_rate=4000))
            with pytest.raises(EngineRefused, match="hot words"):
                asr.stream(AsrOptions(hot_words=("x",)))
            stream = asr.stream(AsrOptions())
            with pytest.raises(EngineBusy):
                asr.stream(AsrOptions())
            await stream.aclose()
            await stream.aclose()
            await asr.stream(AsrOptions()).aclose()
            assert asr.data == "cloud" and asr.traits.word_times
            await asr.aclose()

    run(main())


def test_too_many_segments_without_a_final_are_refused_not_stored() -> None:
    async def main() -> None:
        async with deepgram(deaf=True) as server, calling(server, final_seconds=5.0) as stream:
            for number in range(20):
                stream.start(number)
                stream.push(frame(0))
                stream.end()
            assert isinstance(await failure(stream), EngineBusy)

    run(main())


def test_sound_that_is_not_taken_is_bounded() -> None:
    async def main() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(5)
            writer.close()

        hanging = await asyncio.start_server(silent, "127.0.0.1", 0)
        url = f"ws://127.0.0.1:{hanging.sockets[0].getsockname()[1]}"
        settings = DeepgramAsrSettings(url=url, **{**FAST, "connect_seconds": 5.0, "unsent_seconds": 1.0})
        asr = DeepgramAsr(settings)
        stream = asr.stream(AsrOptions())
        stream.start(1)
        say(stream, 60)
        assert isinstance(await failure(stream), EngineTimeout)
        assert len(stream._queue) == 0
        await asr.aclose()
        hanging.close()

    run(main())


@given(st.one_of(st.binary(max_size=100), st.text(max_size=100).map(str.encode)))
def test_any_message_is_read_or_nothing(octets: bytes) -> None:
    assert read(octets) is None or isinstance(read(octets), Notice | Results)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.fixed_dictionaries(
    {"type": st.just("Results")},
    optional={name: JSON for name in ("start", "duration", "is_final", "from_finalize", "channel")},
), JSON, JSON)  # fmt: skip
def test_results_of_any_shape_are_read(told: dict[str, Any], inner: Any, words: Any) -> None:
    for channel in (told.get("channel"), {"alternatives": inner}, {"alternatives": [{"words": words}]}):
        told["channel"] = channel
        heard = read(json.dumps(told))
        if heard is not None:  # NaN and infinity are no JSON
            assert isinstance(heard, Results) and heard.start >= 0 and heard.end >= heard.start


@pytest.mark.parametrize(
    ("given_", "names"),
    [
        ({"url": "ftp://x"}, "url:"),
        ({"url": "wss://user:pw@x"}, "url:"),
        ({"url": "ws://x", "api_key": "k"}, "api_key: would be sent in the clear"),
        ({"api_key": "k\n"}, "api_key:"),
        ({"model": ""}, "model:"),
        ({"first_seconds": 0.01}, "first_seconds:"),
        ({"keep_alive_seconds": 30.0}, "keep_alive_seconds:"),
        ({"data": "moon"}, "data:"),
    ],
)
def test_settings_name_the_field_and_the_cure(given_: dict[str, Any], names: str) -> None:
    with pytest.raises(ValueError, match=names):
        DeepgramAsrSettings(**given_)


def test_it_is_in_the_registry() -> None:
    async def main() -> None:
        assert registry.asr("deepgram").name == "deepgram"

    run(main())
