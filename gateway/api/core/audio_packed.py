"""Opus packets and growing files of a live stream to samples, by ffmpeg's libraries."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator, Sequence

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer

from gateway.api.core.audio_in import AudioForm, Decoder, Encoding
from gateway.api.core.audio_wav import WavDecoder
from gateway.errors import AudioUnfit
from media.frame import Pcm

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"OggS", "ogg"),
    (b"\x1aE\xdf\xa3", "matroska"),
    (b"fLaC", "flac"),
    (b"ID3", "mp3"),
    (b"\xff\xfb", "mp3"),
    (b"\xff\xf3", "mp3"),
    (b"\xff\xf2", "mp3"),
    (b"\xff\xf1", "aac"),
    (b"\xff\xf9", "aac"),
)
"""How the files that can be read while they grow begin, and ffmpeg's name for them."""
_ENOUGH = 12
"""Octets by which a file shows what it is."""
_PROBE = {"probesize": "8192", "analyzeduration": "1000", "fflags": "nobuffer"}
_STUCK_SECONDS = 10.0
_LONGEST_PACKET = 65_536


def open_packed(form: AudioForm) -> Decoder:
    """A decoder of Opus or of a growing file, for `AudioIn`. Its samples have the form's frame rate."""
    return OpusDecoder(form) if form.encoding is Encoding.OPUS else FileDecoder(form)


class OpusDecoder:
    """One packet in each message (RFC 6716); a stream that opens as Ogg is read as such (RFC 7845)."""

    def __init__(self, form: AudioForm) -> None:
        self._form = form
        self._file: FileDecoder | None = None
        self._codec: AudioCodecContext | None = None
        self._resampler = _resampler(form)

    async def push(self, data: bytes) -> Pcm:
        """See `Decoder.push`."""
        if self._file is None and self._codec is None:
            self._begin(data)
        if self._file is not None:
            return await self._file.push(data)
        if not data:
            return _NOTHING
        if len(data) > _LONGEST_PACKET:
            raise AudioUnfit("a message is no Opus packet: send one packet in each, or Ogg pages")
        assert self._codec is not None
        try:
            return _joined(self._resampler, self._codec.decode(av.Packet(data)))
        except av.FFmpegError as error:
            raise AudioUnfit(f"a message is no Opus packet: {error.strerror}") from None

    async def flush(self) -> Pcm:
        """See `Decoder.flush`."""
        return await self._file.flush() if self._file else _NOTHING

    def close(self) -> None:
        """See `Decoder.close`."""
        if self._file:
            self._file.close()

    def _begin(self, data: bytes) -> None:
        if data[:4] == b"OggS":
            self._file = FileDecoder(self._form)
            return
        codec = av.CodecContext.create("libopus", "r")
        assert isinstance(codec, AudioCodecContext)
        codec.sample_rate = 48_000
        codec.layout = "stereo" if self._form.channels > 1 else "mono"
        self._codec = codec


class FileDecoder:
    """A file as it grows, read by a thread of its own that waits for more; in step with `push`."""

    def __init__(self, form: AudioForm) -> None:
        self._form = form
        self._head = b""
        self._inbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._wav: WavDecoder | None = None
        self._thread: threading.Thread | None = None
        self._loop = asyncio.get_running_loop()
        self._hungry = asyncio.Event()
        self._out: list[Pcm] = []
        self._error: AudioUnfit | None = None
        self._done = False

    async def push(self, data: bytes) -> Pcm:
        """See `Decoder.push`."""
        if self._wav is not None:
            return await self._wav.push(data)
        if self._thread is None:
            self._head += data
            if len(self._head) < _ENOUGH:
                return _NOTHING
            data, self._head = self._head, b""
            if data.startswith(b"RIFF"):  # ffmpeg would wait for a second of it
                self._wav = WavDecoder(self._form)
                return await self._wav.push(data)
            self._start(_kind(data))
        return await self._fed(data)

    async def flush(self) -> Pcm:
        """See `Decoder.flush`."""
        if self._wav is not None:
            return await self._wav.flush()
        if self._thread is None:
            if self._head:
                raise AudioUnfit("the sound ends before it shows what it is")
            return _NOTHING
        return await self._fed(None)

    def close(self) -> None:
        """See `Decoder.close`."""
        if self._thread is not None:
            self._inbox.put(None)

    def _start(self, kind: str) -> None:
        self._thread = threading.Thread(
            target=self._read, args=(kind,), name="offhook-api-decode", daemon=True
        )
        self._thread.start()

    async def _fed(self, data: bytes | None) -> Pcm:
        """What the thread makes of it, once it asks for more."""
        if self._done:
            return self._taken()
        self._hungry.clear()
        self._inbox.put(data)
        try:
            async with asyncio.timeout(_STUCK_SECONDS):
                await self._hungry.wait()
        except TimeoutError:
            raise AudioUnfit(f"the sound could not be decoded within {_STUCK_SECONDS:g} s") from None
        return self._taken()

    def _taken(self) -> Pcm:
        if self._error is not None:
            raise self._error
        out, self._out = self._out, []
        return np.concatenate(out) if out else _NOTHING

    def _read(self, kind: str) -> None:
        """In the thread: decode to the end of the file."""
        growing = _Growing(self._inbox, self._ask)
        try:
            with av.open(growing, format=kind, options=dict(_PROBE), buffer_size=4096) as file:
                assert isinstance(file, InputContainer)
                for pcm in _decoded(file, _resampler(self._form)):
                    self._out.append(pcm)
        except Exception as error:  # whatever a hostile file does, somebody waits for this thread
            if not growing.ended or not self._out:
                self._error = AudioUnfit(f"the sound cannot be read as {kind}: {error}")
        self._done = True
        self._ask()

    def _ask(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._hungry.set)
        except RuntimeError:  # the loop is gone, and nobody waits
            return


class _Growing:
    """What ffmpeg reads from: waits for the next octets, and says that it does."""

    def __init__(self, inbox: queue.SimpleQueue[bytes | None], ask: Callable[[], None]) -> None:
        self._inbox = inbox
        self._ask = ask
        self._rest = b""
        self._begun = False
        self.ended = False

    def read(self, size: int) -> bytes:
        while not self._rest and not self.ended:
            if self._begun and self._inbox.empty():
                self._ask()
            self._begun = True
            data = self._inbox.get()
            if data is None:
                self.ended = True
            else:
                self._rest = data
        out, self._rest = self._rest[:size], self._rest[size:]
        return out


def _decoded(file: InputContainer, resampler: AudioResampler) -> Iterator[Pcm]:
    stream: AudioStream = file.streams.audio[0]
    for packet in file.demux(stream):
        try:
            yield _joined(resampler, packet.decode())
        except av.error.InvalidDataError:  # a damaged packet costs its own sound, not the stream
            continue
    yield _joined(resampler, [None])


def _joined(resampler: AudioResampler, frames: Sequence[av.AudioFrame | None]) -> Pcm:
    out = [made.to_ndarray().reshape(-1) for frame in frames for made in resampler.resample(frame)]
    return np.concatenate(out).astype(np.int16, copy=False) if out else _NOTHING


def _resampler(form: AudioForm) -> AudioResampler:
    return AudioResampler(format="s16", layout="mono", rate=form.frame_rate)


def _kind(data: bytes) -> str:
    for octets, kind in _MAGIC:
        if data.startswith(octets):
            return kind
    known = "WAV, Ogg, WebM, FLAC, MP3 or AAC"
    raise AudioUnfit(f"the sound opens like no file that is read here ({known}); for raw sound name encoding")


_NOTHING: Pcm = np.zeros(0, np.int16)
