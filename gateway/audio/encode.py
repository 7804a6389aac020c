"""Speech to the format that a client asks for, piece by piece: what is spoken first can be heard first."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import av
import numpy as np

from gateway.errors import FormatUnfit
from media.frame import Pcm
from media.g711 import to_alaw, to_ulaw
from media.resample import Resampler


class Codec(StrEnum):
    """How samples are coded."""

    LINEAR16 = "linear16"
    """16-bit little-endian."""
    MULAW = "mulaw"
    ALAW = "alaw"
    MP3 = "mp3"
    OPUS = "opus"
    AAC = "aac"
    FLAC = "flac"


class Container(StrEnum):
    """What is put around them."""

    NONE = "none"
    WAV = "wav"
    """With sizes left open (0xFFFFFFFF), as the length is not known when the first octets go out."""
    OGG = "ogg"


_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_ANY = range(8000, 48001)
RATES: dict[Codec, range | tuple[int, ...]] = {
    Codec.LINEAR16: _ANY, Codec.MULAW: _ANY, Codec.ALAW: _ANY, Codec.MP3: _MP3_RATES,
    Codec.OPUS: _OPUS_RATES, Codec.AAC: _MP3_RATES, Codec.FLAC: _ANY,
}  # fmt: skip
"""Sample rates that each codec takes."""
_CONTAINERS: dict[Codec, tuple[Container, ...]] = {
    Codec.LINEAR16: (Container.NONE, Container.WAV),
    Codec.MULAW: (Container.NONE, Container.WAV),
    Codec.ALAW: (Container.NONE, Container.WAV),
    Codec.OPUS: (Container.OGG,),
}
_MEDIA_TYPES = {
    Codec.MP3: "audio/mpeg", Codec.OPUS: "audio/ogg", Codec.AAC: "audio/aac", Codec.FLAC: "audio/flac",
    Codec.LINEAR16: "audio/l16", Codec.MULAW: "audio/basic", Codec.ALAW: "audio/x-alaw-basic",
}  # fmt: skip
_MUXERS: dict[Codec, tuple[str, str, dict[str, str], dict[str, str]]] = {
    Codec.MP3: ("mp3", "libmp3lame", {"write_xing": "0", "id3v2_version": "0"}, {}),
    Codec.OPUS: ("ogg", "libopus", {"page_duration": "60000"}, {"application": "voip"}),
    Codec.AAC: ("adts", "aac", {}, {}),
    Codec.FLAC: ("flac", "flac", {}, {}),
}
"""ffmpeg's container, encoder and their options; all write forward only."""
_BIT_RATES = range(6_000, 320_001)
_OPEN_SIZE = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class SpeechFormat:
    """What a client wants to receive. Raises `FormatUnfit` for what does not go together."""

    codec: Codec
    sample_rate: int
    """8000 to 48000; what the codec takes is in `RATES`."""
    container: Container = Container.NONE
    """MP3, AAC and FLAC frame themselves: `none`. Opus needs `ogg`."""
    bit_rate: int = 0
    """Bits a second for MP3, Opus and AAC, 6000 to 320000; 0: as the codec sees fit."""

    def __post_init__(self) -> None:
        if self.sample_rate not in RATES[self.codec]:
            rates = RATES[self.codec]
            can = "8000 to 48000" if isinstance(rates, range) else ", ".join(map(str, rates))
            raise FormatUnfit(f"{self.codec} at {self.sample_rate} Hz; it can be {can}")
        containers = _CONTAINERS.get(self.codec, (Container.NONE,))
        if self.container not in containers:
            raise FormatUnfit(
                f"{self.codec} in container {self.container}; it can be {', '.join(containers)}"
            )
        if self.bit_rate and self.bit_rate not in _BIT_RATES:
            raise FormatUnfit(f"bit rate {self.bit_rate}; it can be 6000 to 320000")

    @property
    def media_type(self) -> str:
        """For the Content-Type header (RFC 4856, RFC 3551, RFC 7845)."""
        if self.container is Container.WAV:
            return "audio/wav"
        kind = _MEDIA_TYPES[self.codec]
        return f"{kind};rate={self.sample_rate};channels=1" if self.codec is Codec.LINEAR16 else kind


class Encoder(Protocol):
    """One stretch of speech on its way out."""

    def push(self, pcm: Pcm) -> bytes:
        """The octets that are ready; possibly none."""

    def finish(self) -> bytes:
        """The rest. Nothing may be pushed after it."""


def open_encoder(format: SpeechFormat, sample_rate: int) -> Encoder:
    """An encoder for mono samples of `sample_rate`, which need not be the rate asked for."""
    if format.codec in _MUXERS:
        return _Muxed(format, sample_rate)
    return _Plain(format, sample_rate)


async def encoded(
    speech: AsyncIterator[Pcm], format: SpeechFormat, sample_rate: int
) -> AsyncGenerator[bytes, None]:
    """The speech as octets, as soon as there are some. Closing it ends `speech` too."""
    encoder = open_encoder(format, sample_rate)
    costly = format.codec in _MUXERS
    try:
        async for pcm in speech:
            if octets := await asyncio.to_thread(encoder.push, pcm) if costly else encoder.push(pcm):
                yield octets
        if octets := await asyncio.to_thread(encoder.finish) if costly else encoder.finish():
            yield octets
    finally:
        if isinstance(speech, AsyncGenerator):
            await speech.aclose()


class _Plain:
    """Samples, one after another, perhaps with a WAV header before them."""

    _WAV_TAGS = {Codec.LINEAR16: 1, Codec.ALAW: 6, Codec.MULAW: 7}
    """RFC 2361."""

    def __init__(self, format: SpeechFormat, sample_rate: int) -> None:
        self._codec = format.codec
        self._resampler = Resampler(sample_rate, format.sample_rate)
        self._head = self._header(format) if format.container is Container.WAV else b""

    def push(self, pcm: Pcm) -> bytes:
        return self._out(self._resampler.push(pcm))

    def finish(self) -> bytes:
        return self._out(self._resampler.flush())

    def _out(self, pcm: Pcm) -> bytes:
        head, self._head = self._head, b""
        match self._codec:
            case Codec.MULAW:
                return head + to_ulaw(pcm)
            case Codec.ALAW:
                return head + to_alaw(pcm)
        return head + np.ascontiguousarray(pcm, "<i2").tobytes()

    def _header(self, format: SpeechFormat) -> bytes:
        width = 2 if format.codec is Codec.LINEAR16 else 1
        rate, tag = format.sample_rate, self._WAV_TAGS[format.codec]
        shape = struct.pack("<HHIIHH", tag, 1, rate, rate * width, width, 8 * width)
        if tag != 1:  # every kind but linear has the size of its extension, here none
            shape += struct.pack("<H", 0)
        parts = [
            b"RIFF", struct.pack("<I", _OPEN_SIZE), b"WAVEfmt ", struct.pack("<I", len(shape)), shape,
            b"data", struct.pack("<I", _OPEN_SIZE),
        ]  # fmt: skip
        return b"".join(parts)


class _Sink:
    """Where ffmpeg writes; cannot seek, so that it never tries to mend what is already gone."""

    def __init__(self) -> None:
        self._octets = bytearray()

    def write(self, octets: bytes) -> int:
        self._octets += octets
        return len(octets)

    def take(self) -> bytes:
        taken = bytes(self._octets)
        self._octets.clear()
        return taken


class _Muxed:
    """A codec of ffmpeg's in a container of ffmpeg's."""

    def __init__(self, format: SpeechFormat, sample_rate: int) -> None:
        muxer, codec, options, coding = _MUXERS[format.codec]
        self._rate = sample_rate
        self._sink = _Sink()
        self._container = av.open(self._sink, "w", format=muxer, options={**options, "flush_packets": "1"})
        stream = self._container.add_stream(codec, rate=format.sample_rate, layout="mono", options=coding)
        assert isinstance(stream, av.AudioStream)
        if format.bit_rate:
            stream.bit_rate = format.bit_rate
        self._stream = stream

    def push(self, pcm: Pcm) -> bytes:
        if len(pcm):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(pcm)[None, :], format="s16", layout="mono"
            )
            frame.sample_rate = self._rate
            self._container.mux(self._stream.encode(frame))
        return self._sink.take()

    def finish(self) -> bytes:
        self._container.mux(self._stream.encode(None))
        with contextlib.closing(self._container):
            pass
        return self._sink.take()
