"""Audio files to samples, by decoder processes: hostile files, crashes and leaks stay out of this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import numpy as np
import structlog

from gateway.audio.decoder_wire import DONE, ERROR, HEADER, INFO, SOUND, AudioInfo, DecodeAsk, Order
from gateway.audio.settings import AudioSettings
from gateway.audio.unreadable import Reason
from gateway.errors import AudioBroken, AudioTooLong, AudioUnfit, DecodersBusy, RequestUnfit
from media.frame import Pcm

log = structlog.get_logger(__name__)

_KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "VIRTUAL_ENV")
"""All that a decoder inherits: no key or password of ours lies where a hostile file could look."""
_FILES_EACH = 200
"""Files after which a decoder is replaced, so that what ffmpeg may leak stays small."""
_STOP_SECONDS = 2.0
_RETRY_SECONDS = 10
_REFUSALS: dict[Reason, type[RequestUnfit]] = {
    Reason.UNSUPPORTED: AudioUnfit, Reason.BROKEN: AudioBroken, Reason.LONG: AudioTooLong,
}  # fmt: skip


class DecodedAudio:
    """A file that is being decoded: what it is, and its sound, read once and in order."""

    def __init__(self, info: AudioInfo, blocks: AsyncGenerator[Pcm, None]) -> None:
        self.info = info
        self._blocks = blocks

    def __aiter__(self) -> AsyncIterator[Pcm]:
        """Blocks of about a second at the rate asked for; channels interleaved when split.

        Raises `RequestUnfit` when the file turns out to be broken or too long.
        """
        return self._blocks


class Decoders:
    """The decoder processes, started when first needed. Belongs to one event loop."""

    def __init__(self, settings: AudioSettings) -> None:
        self._settings = settings
        self._places = asyncio.Semaphore(settings.decoders)
        self._waiting = 0
        self._idle: list[_Decoder] = []
        self._all: set[_Decoder] = set()
        self._closed = False
        self._counts: Counter[str] = Counter()

    def stats(self) -> dict[str, float]:
        """Files by how they ended, processes running now."""
        return {**self._counts, "processes": len(self._all), "waiting": self._waiting}

    @contextlib.asynccontextmanager
    async def open(self, path: Path, ask: DecodeAsk) -> AsyncIterator[DecodedAudio]:
        """Decode the file at `path` in the body of the `with`; leaving it early ends the decoding.

        Raises `DecodersBusy` when too many files wait, and `RequestUnfit` for what is wrong with the file.
        """
        async with self._place():
            decoder = await self._take()
            try:
                blocks = decoder.decode(Order(str(path), ask, self._settings.max_seconds))
                first = await anext(blocks)
                assert isinstance(first, AudioInfo)
                async with contextlib.aclosing(_sound(blocks)) as sound:
                    yield DecodedAudio(first, sound)
            finally:
                await self._give_back(decoder)

    async def aclose(self) -> None:
        """End every process. Idempotent."""
        self._closed = True
        self._idle.clear()
        await asyncio.gather(*(self._end(decoder) for decoder in list(self._all)))

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if self._places.locked() and self._waiting >= self._settings.waiting:
            self._counts["refused_busy"] += 1
            raise DecodersBusy(
                f"{self._waiting} files already wait for a decoder; try again later",
                retry_after=_RETRY_SECONDS,
            )
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()

    async def _take(self) -> _Decoder:
        if self._closed:
            raise DecodersBusy("the decoders are closed", retry_after=_RETRY_SECONDS)
        while self._idle:
            decoder = self._idle.pop()
            if decoder.alive:
                return decoder
            await self._end(decoder)
        decoder = await _Decoder.start(self._settings, self._counts)
        self._all.add(decoder)
        self._counts["started"] += 1
        return decoder

    async def _give_back(self, decoder: _Decoder) -> None:
        if decoder.reusable and not self._closed:
            self._idle.append(decoder)
        else:
            await self._end(decoder)

    async def _end(self, decoder: _Decoder) -> None:
        self._all.discard(decoder)
        await decoder.end()


async def _sound(blocks: AsyncGenerator[AudioInfo | Pcm, None]) -> AsyncGenerator[Pcm, None]:
    async with contextlib.aclosing(blocks):
        async for block in blocks:
            assert not isinstance(block, AudioInfo)
            yield block


class _Decoder:
    """One process. Serves one file at a time; after anything but a clean end it is not used again."""

    def __init__(self, process: Process, settings: AudioSettings, counts: Counter[str]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process = process
        self._orders = process.stdin
        self._answers = process.stdout
        self._stall = settings.stall_seconds
        self._counts = counts
        self._files = 0
        self._clean = True

    @classmethod
    async def start(cls, settings: AudioSettings, counts: Counter[str]) -> _Decoder:
        environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.audio.decoder_process", str(settings.decoder_megabytes)),
            stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment,
        )  # fmt: skip
        return cls(process, settings, counts)

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    @property
    def reusable(self) -> bool:
        """Its last file came to a clean end, good or bad, and it is not too old."""
        return self.alive and self._clean and self._files < _FILES_EACH

    async def decode(self, order: Order) -> AsyncGenerator[AudioInfo | Pcm, None]:
        """The file's info, then its sound. Raises `RequestUnfit`."""
        self._clean = False
        self._files += 1
        try:
            self._orders.write(order.line())
            while (content := await self._packet()) is not None:
                yield content
            self._clean = True
            self._counts["decoded"] += 1
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            self._counts["crashed"] += 1
            log.warning("a decoder died over a file", code=self._process.returncode)
            raise AudioBroken("the audio cannot be decoded: the decoder broke over it") from error
        except TimeoutError as error:
            self._counts["stalled"] += 1
            raise AudioBroken(f"the audio cannot be decoded: no sound for {self._stall:g} s") from error

    async def _packet(self) -> AudioInfo | Pcm | None:
        """The next packet's content; None at the end."""
        async with asyncio.timeout(self._stall):
            kind, length = HEADER.unpack(await self._answers.readexactly(HEADER.size))
            content = await self._answers.readexactly(length)
        if kind == INFO:
            return AudioInfo(**json.loads(content))
        if kind == SOUND:
            return np.frombuffer(content, np.int16)
        if kind == ERROR:
            self._clean = True
            self._counts["refused"] += 1
            told = json.loads(content)
            raise _REFUSALS[Reason(told["reason"])](told["detail"])
        assert kind == DONE
        return None

    async def end(self) -> None:
        """Kill it: it holds nothing of value."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._orders.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                while await self._answers.read(1 << 16):
                    pass
                await self._process.wait()
