from __future__ import annotations

import asyncio

import pytest

from engines.base import AsrOptions, AsrStream, EngineBusy
from gateway.reserved_asr import ReservedAsr
from tests.fakes.asr import ScriptedAsr, ScriptedStream

OPTIONS = AsrOptions(sample_rate=8000)


class CountedStream(ScriptedStream):
    closed = 0

    async def aclose(self) -> None:
        self.closed += 1


class NarrowAsr(ScriptedAsr):
    """Has room for one stream, ever."""

    def __init__(self) -> None:
        super().__init__(())
        self.given: list[CountedStream] = []

    def stream(self, options: AsrOptions) -> AsrStream:
        if self.given:
            raise EngineBusy("full")
        self.given.append(CountedStream(self))
        return self.given[0]


def test_the_place_is_taken_at_once_and_given_out_once() -> None:
    asr = NarrowAsr()
    reserved = ReservedAsr(asr, OPTIONS)
    assert len(asr.given) == 1 and reserved.name == "scripted"
    assert reserved.stream(OPTIONS) is asr.given[0]
    with pytest.raises(EngineBusy):
        reserved.stream(OPTIONS)
    asyncio.run(reserved.aclose())
    assert asr.given[0].closed == 0, "it belongs to whoever took it"


def test_a_place_that_nobody_took_is_given_back_once() -> None:
    asr = NarrowAsr()
    reserved = ReservedAsr(asr, OPTIONS)
    asyncio.run(reserved.aclose())
    asyncio.run(reserved.aclose())
    assert asr.given[0].closed == 1


def test_other_options_open_a_stream_of_their_own() -> None:
    asr = ScriptedAsr(())
    reserved = ReservedAsr(asr, OPTIONS)
    wide = reserved.stream(AsrOptions(sample_rate=16_000))
    assert asr.streams == [asr.streams[0], wide] and wide is not asr.streams[0]


def test_a_full_recogniser_says_so() -> None:
    asr = NarrowAsr()
    asr.stream(OPTIONS)
    with pytest.raises(EngineBusy):
        ReservedAsr(asr, OPTIONS)
