"""A file to words: decoded, cut by voice, recognised behind live calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from engines.base import Asr, AsrOptions
from gateway.api.core.listening import Heard, ListenAsk, ListenLimits
from gateway.api.core.transcribing import Recording, transcribed
from gateway.api.core.voice_bench import VoiceBench
from gateway.audio.decode import DecodedAudio
from gateway.audio.decoder_wire import AudioInfo, DecodeAsk, RawFormat
from gateway.audio.files import AudioFiles
from gateway.batch.settings import BatchSettings
from gateway.errors import DecodersBusy
from media.frame import Pcm
from media.segmenter import SegmenterSettings

RATE = 16000
"""What recordings are decoded to; telephone sound loses nothing by it, wide sound keeps its consonants."""
_RETRY_SECONDS = 10


@dataclass(frozen=True, slots=True)
class RecordingAsk:
    """What is wanted of a recording."""

    language: str
    raw: RawFormat | None = None
    """How to read sound without a container."""
    split: bool = False
    """Recognise two channels apart."""
    hot_words: tuple[str, ...] = ()
    endpoint_ms: int | None = None
    """Silence that ends an utterance; None: as configured."""
    segmenter: SegmenterSettings = field(default_factory=SegmenterSettings)


class Ears(Protocol):
    """What hears; `SpeechParts` is one."""

    @property
    def asr(self) -> Asr: ...

    @property
    def bench(self) -> VoiceBench: ...


@dataclass(frozen=True, slots=True)
class BatchEars:
    """Serves `Ears`."""

    asr: Asr
    bench: VoiceBench


@dataclass(frozen=True, slots=True)
class FileHeard:
    """What a file holds."""

    info: AudioInfo
    channels: tuple[Recording, ...]
    """One, or one for each channel that was kept apart."""

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return max(channel.seconds for channel in self.channels)


class Recordings:
    """Recognises files, a few at once. Costs nothing until it is used. Belongs to one event loop."""

    def __init__(
        self,
        files: AudioFiles | None = None,
        settings: BatchSettings | None = None,
        limits: ListenLimits | None = None,
    ) -> None:
        self.files = files or AudioFiles()
        self._settings = settings or BatchSettings()
        self._limits = limits or ListenLimits()
        self._places = asyncio.Semaphore(self._settings.at_once)
        self._waiting = 0

    async def recognise(
        self,
        ears: Ears,
        path: Path,
        ask: RecordingAsk,
        *,
        began: Callable[[AudioInfo], None] = lambda info: None,
        heard: Callable[[int, Heard], None] = lambda channel, final: None,
        progress: Callable[[float], None] = lambda seconds: None,
    ) -> FileHeard:
        """The words of the file at `path`.

        `began` is told what the file says of itself, `heard` each final and its channel as it comes,
        `progress` the seconds that were heard so far.

        Raises `RequestUnfit` for what is wrong with the file, `DecodersBusy`, `EngineError`.
        """
        async with self._place():
            wanted = DecodeAsk(RATE, ask.split, ask.raw)
            async with self.files.decoded(path, wanted) as audio:
                began(audio.info)
                return FileHeard(audio.info, await self._channels(ears, audio, ask, heard, progress))

    async def aclose(self) -> None:
        """End the decoders. Idempotent."""
        await self.files.aclose()

    async def _channels(
        self,
        ears: Ears,
        audio: DecodedAudio,
        ask: RecordingAsk,
        heard: Callable[[int, Heard], None],
        progress: Callable[[float], None],
    ) -> tuple[Recording, ...]:
        wanted = ListenAsk(
            AsrOptions(ask.language, RATE, interim=False, hot_words=ask.hot_words, background=True),
            endpoint_ms=ask.endpoint_ms or self._settings.endpoint_ms,
            segmenter=ask.segmenter,
        )
        if audio.info.out_channels == 1:
            return (await self._one(ears, 0, aiter(audio), wanted, heard, progress),)
        split = _Splitter(audio)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(split.run())
                left = tasks.create_task(self._one(ears, 0, split.channel(0), wanted, heard, progress))
                right = tasks.create_task(self._one(ears, 1, split.channel(1), wanted, heard))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        return left.result(), right.result()

    async def _one(
        self,
        ears: Ears,
        number: int,
        sound: AsyncIterator[Pcm],
        ask: ListenAsk,
        heard: Callable[[int, Heard], None],
        progress: Callable[[float], None] = lambda seconds: None,
    ) -> Recording:
        return await transcribed(
            ears.asr,
            ears.bench,
            sound,
            ask,
            self._limits,
            heard=lambda final: heard(number, final),
            progress=progress,
        )

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if self._places.locked() and self._waiting >= self._settings.waiting:
            told = f"{self._waiting} recordings already wait; try again later"
            raise DecodersBusy(told, retry_after=_RETRY_SECONDS)
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()


class _Splitter:
    """Two interleaved channels, read side by side; the slower reader sets the pace."""

    def __init__(self, audio: DecodedAudio) -> None:
        self._audio = audio
        self._queues: tuple[asyncio.Queue[Pcm | None], ...] = (asyncio.Queue(2), asyncio.Queue(2))

    async def run(self) -> None:
        """Feed both until the file ends."""
        async for block in self._audio:
            for number, queue in enumerate(self._queues):
                await queue.put(np.ascontiguousarray(block[number::2]))
        for queue in self._queues:
            await queue.put(None)

    async def channel(self, number: int) -> AsyncIterator[Pcm]:
        """One of them."""
        while (block := await self._queues[number].get()) is not None:
            yield block
