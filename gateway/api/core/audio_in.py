"""Octets of a live stream, as clients send them, into 20 ms frames at a rate that recognisers take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

import numpy as np

from gateway.api.core.framer import Framer
from gateway.errors import RequestUnfit
from media import g711
from media.frame import AudioFrame, Pcm
from media.live_resample import steady

LOWEST_RATE = 8000
HIGHEST_RATE = 48000
NARROW = 8000
WIDE = 16000
"""The two rates of frames: a narrow stream stays narrow, all others become wide."""
MOST_CHANNELS = 8
SLICE = 16_384
"""Octets decoded in one go, so that a large message does not hold up other streams."""


class Encoding(StrEnum):
    """How the samples of a live stream are coded."""

    LINEAR16 = "linear16"
    """16-bit signed, little-endian."""
    LINEAR32 = "linear32"
    """32-bit floating point, little-endian, ±1."""
    MULAW = "mulaw"
    ALAW = "alaw"
    OPUS = "opus"
    """One packet in each message, or Ogg pages."""
    CONTAINER = "container"
    """A file as it grows: WAV, Ogg, WebM, FLAC, MP3 and what else the decoder knows."""


@dataclass(frozen=True, slots=True)
class AudioForm:
    """What a client says of its stream. Raises `RequestUnfit`, naming the field."""

    encoding: Encoding
    sample_rate: int = 0
    """Samples per second; needed where the octets do not say it themselves."""
    channels: int = 1
    """Interleaved; they are mixed to one."""

    def __post_init__(self) -> None:
        raw = self.encoding not in (Encoding.CONTAINER, Encoding.OPUS)
        if (raw or self.sample_rate) and not LOWEST_RATE <= self.sample_rate <= HIGHEST_RATE:
            told = f"{self.sample_rate or 'nothing'} was given; {self.encoding} needs 8000 to 48000"
            raise RequestUnfit(told, field="sample_rate")
        if not 1 <= self.channels <= MOST_CHANNELS:
            raise RequestUnfit(f"give 1 to {MOST_CHANNELS}", field="channels")

    @property
    def frame_rate(self) -> int:
        """The rate of the frames made of it: the same for a narrow stream, else wide."""
        return NARROW if self.sample_rate == NARROW else WIDE


class Decoder(Protocol):
    """Octets to mono samples at a rate of its own choice."""

    async def push(self, data: bytes) -> Pcm:
        """The samples that are whole now. Raises `AudioUnfit`."""

    async def flush(self) -> Pcm:
        """The end: what was held back. Raises `AudioUnfit`."""

    def close(self) -> None:
        """Free everything. Idempotent."""


OpenDecoder: TypeAlias = Callable[[AudioForm], Decoder]


class AudioIn:
    """One stream's octets to frames."""

    def __init__(self, form: AudioForm, packed: OpenDecoder) -> None:
        """`packed` opens decoders of Opus and containers, which give samples at the form's frame rate."""
        raw = form.encoding not in (Encoding.CONTAINER, Encoding.OPUS)
        self.form = form
        self._framer = Framer(form.frame_rate)
        self._decoder: Decoder = PlainDecoder(form) if raw else packed(form)

    async def push(self, data: bytes, arrived: float) -> list[AudioFrame]:
        """The frames that are full now. Raises `AudioUnfit`."""
        return self._framer.push(await self._decoder.push(data), arrived)

    async def flush(self, arrived: float) -> list[AudioFrame]:
        """The end: the last frame is filled up with silence. Raises `AudioUnfit`."""
        return [*self._framer.push(await self._decoder.flush(), arrived), *self._framer.flush(arrived)]

    def close(self) -> None:
        """Free everything. Idempotent."""
        self._decoder.close()


class PlainDecoder:
    """Samples that stand one after another; half of one waits for its other half."""

    _WIDTHS = {Encoding.LINEAR16: 2, Encoding.LINEAR32: 4, Encoding.MULAW: 1, Encoding.ALAW: 1}

    def __init__(self, form: AudioForm) -> None:
        self._form = form
        self._size = self._WIDTHS[form.encoding] * form.channels
        self._rest = b""
        self._resampler = steady(form.sample_rate, form.frame_rate)

    async def push(self, data: bytes) -> Pcm:
        """See `Decoder.push`. A large message lets other streams have their turn."""
        parts = []
        for place in range(0, len(data), SLICE):
            parts.append(self._decoded(data[place : place + SLICE]))
            if place:
                await asyncio.sleep(0)
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)

    async def flush(self) -> Pcm:
        """See `Decoder.flush`; half a sample is dropped."""
        self._rest = b""
        return self._resampler.flush()

    def close(self) -> None:
        """See `Decoder.close`."""

    def _decoded(self, data: bytes) -> Pcm:
        data = self._rest + data if self._rest else data
        whole = len(data) // self._size * self._size
        self._rest = data[whole:]
        return self._resampler.push(self._mixed(self._samples(data[:whole])))

    def _samples(self, data: bytes) -> Pcm:
        match self._form.encoding:
            case Encoding.MULAW:
                return g711.ULAW[np.frombuffer(data, np.uint8)]
            case Encoding.ALAW:
                return g711.ALAW[np.frombuffer(data, np.uint8)]
            case Encoding.LINEAR32:
                floats = np.nan_to_num(np.frombuffer(data, np.dtype("<f4")), posinf=1.0, neginf=-1.0)
                scaled: Pcm = np.rint(np.clip(floats, -1.0, 1.0) * 32767.0).astype(np.int16)
                return scaled
        return np.frombuffer(data, np.dtype("<i2")).astype(np.int16, copy=False)

    def _mixed(self, pcm: Pcm) -> Pcm:
        if self._form.channels == 1:
            return pcm
        mixed: Pcm = pcm.reshape(-1, self._form.channels).astype(np.int32).mean(axis=1).astype(np.int16)
        return mixed
