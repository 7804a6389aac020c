from __future__ import annotations

import asyncio
from contextlib import aclosing

import numpy as np
import pytest
import structlog

from engines.base import AsrOptions, EngineFailed, Transcript
from gateway.calls.recognition import MOST_SEGMENTS, Recognition
from gateway.calls.settings import RecognitionSettings
from media.frame import AudioFrame
from tests.fakes.asr import ScriptedAsr, ScriptedStream
from tests.virtual_time import run_virtual

SAYS = [(0.0, 1.0, "one"), (1.0, 2.0, "two")]


def frames(start: float, end: float) -> list[AudioFrame]:
    pcm = np.zeros(160, np.int16)
    return [AudioFrame(pcm, 8000, n * 160, n * 0.02) for n in range(round(start * 50), round(end * 50))]


def recognition(asr: ScriptedAsr, replay: float = 15.0) -> Recognition:
    settings = RecognitionSettings(replay=replay)
    return Recognition(asr, AsrOptions(), settings, structlog.get_logger("test"))


async def first(ears: Recognition, count: int) -> list[Transcript]:
    found: list[Transcript] = []
    async with aclosing(ears.results()) as results:
        async for transcript in results:
            found.append(transcript)
            if len(found) == count:
                break
    return found


def test_a_segment_is_heard_with_its_preroll() -> None:
    async def listen() -> list[Transcript]:
        ears = recognition(ScriptedAsr(SAYS))
        reading = asyncio.create_task(first(ears, 2))
        await asyncio.sleep(0)
        ears.start(1, frames(0.0, 0.5))
        for frame in frames(0.5, 1.0):
            ears.push(frame)
        ears.pause()
        await asyncio.sleep(0.1)
        ears.end()
        return await reading

    early, final = run_virtual(listen())
    assert early.early and final.is_final and early.text == final.text == "one"


@pytest.mark.parametrize("state", ["open", "paused", "ended"])
def test_a_new_stream_hears_the_unfinished_segments_again(state: str) -> None:
    async def listen() -> tuple[list[Transcript], int]:
        asr = ScriptedAsr(SAYS)
        ears = recognition(asr)
        reading = asyncio.create_task(first(ears, 1))
        await asyncio.sleep(0)
        ears.start(7, frames(0.0, 1.0))
        if state == "paused":
            ears.pause()
        if state == "ended":
            ears.end()
        asr.streams[0].due.put_nowait(None)
        await asyncio.sleep(0.25)
        if state == "open":
            ears.end()
        return await reading, ears.replaced

    (transcript,), replaced = run_virtual(listen())
    assert (transcript.segment, transcript.text, replaced) == (7, "one", 1)
    assert transcript.early == (state == "paused")


def test_stream_after_stream_breaking_is_the_end_of_it() -> None:
    class Broken(ScriptedAsr):
        def stream(self, options: AsrOptions) -> ScriptedStream:
            raise EngineFailed("no model")

    with pytest.raises(EngineFailed, match="3 times in a row"):
        run_virtual(first(recognition(Broken(SAYS)), 1))


def test_what_is_kept_for_a_replay_is_bounded() -> None:
    ears = recognition(ScriptedAsr(SAYS), replay=1.0)
    for segment in range(10):
        ears.start(segment, frames(0.0, 3.0))
        ears.end()
    kept = ears._segments
    assert len(kept) == MOST_SEGMENTS and all(len(segment.frames) == 50 for segment in kept.values())


def test_a_dropped_segment_is_not_replayed() -> None:
    async def listen() -> int:
        asr = ScriptedAsr(SAYS)
        ears = recognition(asr)
        reading = asyncio.create_task(first(ears, 1))
        await asyncio.sleep(0)
        ears.start(1, frames(0.0, 1.0))
        ears.drop(1)
        ears.push(frames(1.0, 1.02)[0])
        asr.streams[0].due.put_nowait(None)
        await asyncio.sleep(0.3)
        reading.cancel()
        return asr.streams[1].segment

    assert run_virtual(listen()) == 0
