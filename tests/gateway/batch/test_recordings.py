"""Files to words with a scripted recogniser and the real decoder."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from engines.base import AsrOptions, AsrStream
from gateway.api.core.listening import Heard
from gateway.api.core.voice_bench import VoiceBench
from gateway.audio.files import AudioFiles
from gateway.audio.settings import AudioSettings
from gateway.batch.recordings import RecordingAsk, Recordings
from gateway.batch.settings import BatchSettings
from gateway.errors import AudioBroken, DecodersBusy
from tests.fakes.asr import ScriptedAsr
from tests.fakes.voices import bench, sound
from tests.gateway.audio.files import made, wav

T = TypeVar("T")
SAYS = [(0.5, 1.5, "hello there"), (3.0, 3.6, "stop")]
SOUND = sound([(0.5, 1.5), (3.0, 3.6)], 5.0, 16000)


@dataclass
class Hearing:
    asr: ScriptedAsr
    bench: VoiceBench


class Noting(ScriptedAsr):
    """Notes what it was asked for."""

    def __init__(self) -> None:
        super().__init__(SAYS, takes=0.01)
        self.asked: list[AsrOptions] = []

    def stream(self, options: AsrOptions) -> AsrStream:
        self.asked.append(options)
        return super().stream(options)


def run(work: Callable[[Recordings, Hearing], Awaitable[T]], **settings: int) -> T:
    async def main() -> T:
        recordings = Recordings(AudioFiles(AudioSettings(decoders=2)), BatchSettings(**settings))  # type: ignore[arg-type]
        try:
            async with asyncio.timeout(30):
                return await work(recordings, Hearing(Noting(), bench()))
        finally:
            await recordings.aclose()

    return asyncio.run(main())


def test_a_file_to_words_told_as_they_come(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(made("mp3", SOUND, 16000))
    finals: list[tuple[int, str]] = []
    seconds: list[float] = []

    def heard(channel: int, final: Heard) -> None:
        finals.append((channel, final.text))

    async def work(recordings: Recordings, ears: Hearing) -> None:
        found = await recordings.recognise(
            ears, tmp_path / "a", RecordingAsk("en-US"), heard=heard, progress=seconds.append
        )
        assert found.channels[0].text == "hello there stop"
        assert found.seconds == pytest.approx(5.0, abs=0.1)
        assert found.info.format == "mp3"
        (asked,) = ears.asr.asked  # type: ignore[attr-defined]
        assert asked.background and not asked.interim and asked.sample_rate == 16000

    run(work)
    assert finals == [(0, "hello there"), (0, "stop")]
    assert seconds == sorted(seconds) and seconds[-1] == pytest.approx(5.0, abs=0.1)


def test_two_channels_apart(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(made("flac", SOUND, 16000, stereo=True))

    async def work(recordings: Recordings, ears: Hearing) -> list[str]:
        found = await recordings.recognise(ears, tmp_path / "a", RecordingAsk("en-US", split=True))
        return [channel.text for channel in found.channels]

    assert run(work) == ["hello there stop", ""]


def test_a_file_that_turns_out_to_be_broken(tmp_path: Path) -> None:
    octets = wav(np.concatenate([SOUND] * 4), 16000)
    (tmp_path / "a").write_bytes(octets[: len(octets) // 2])

    async def work(recordings: Recordings, ears: Hearing) -> None:
        for split in (False, True):
            with pytest.raises(AudioBroken, match="ends early"):
                await recordings.recognise(ears, tmp_path / "a", RecordingAsk("en-US", split=split))

    run(work)


def test_more_than_may_wait(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(wav(SOUND, 16000))

    async def work(recordings: Recordings, ears: Hearing) -> None:
        ask = RecordingAsk("en-US")
        first = asyncio.ensure_future(recordings.recognise(ears, tmp_path / "a", ask))
        await asyncio.sleep(0)
        with pytest.raises(DecodersBusy):
            await recordings.recognise(ears, tmp_path / "a", ask)
        assert (await first).channels[0].text == "hello there stop"

    run(work, at_once=1, waiting=0)
