"""Reads one audio file with ffmpeg's libraries. Runs in the decoder process: the file may be hostile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer

from gateway.audio.decoder_wire import BLOCK_SECONDS, AudioInfo, DecodeAsk, RawFormat
from gateway.audio.unreadable import FORMATS, Reason, Unreadable
from media.wav_header import LONGEST, BadHeader, read_header

_DEMUXERS = {
    "wav": "wav", "w64": "wav", "mp3": "mp3", "flac": "flac", "ogg": "ogg", "mov,mp4,m4a,3gp,3g2,mj2": "m4a",
    "matroska,webm": "webm", "aac": "aac",
}  # fmt: skip
"""ffmpeg's name of each container that is read, and ours. Nothing that names other files."""
_CODECS = frozenset(
    {"mp3", "mp3float", "mp2", "mp2float", "flac", "vorbis", "opus", "libopus", "aac", "alac"}
)
_DECLARED = frozenset({"flac", "m4a", "webm"})
"""Containers whose header states the length; that of the others is a guess from size and bit rate."""
_FIXED_WIDTH = frozenset({1, 3, 6, 7})
"""WAV files whose samples all take the same room: linear, floating, A-law, mu-law (RFC 2361)."""
_RAW = {"linear16": "s16le", "linear32": "f32le", "mulaw": "mulaw", "alaw": "alaw"}
_RATES = range(4000, 384_001)
_MOST_CHANNELS = 32
_SPARE_SECONDS = 1.0
"""Encoders pad; a file of just the longest length is not refused for it."""
_SHORT_BY = 0.05
"""Share of the claimed length that may be missing; encoders round, and pad."""
_SHORT_SECONDS = 0.5
_BAD_PACKETS = 0.05
"""Share of packets that may be undecodable: damage inside a file that still plays."""
_MAGIC = (
    (0, b"RIFF", "wav"), (0, b"fLaC", "flac"), (0, b"OggS", "ogg"), (4, b"ftyp", "m4a"),
    (0, b"\x1a\x45\xdf\xa3", "webm"), (0, b"ID3", "mp3"), (0, b"\xff\xfb", "mp3"),
)  # fmt: skip


@dataclass(slots=True)
class _Tally:
    """How the packets fared."""

    seconds: float = 0.0
    good: int = 0
    bad: int = 0


def read_file(path: Path, ask: DecodeAsk, max_seconds: float) -> Iterator[AudioInfo | bytes]:
    """What the file is, then its sound in blocks of 16-bit samples at the rate asked for.

    Raises `Unreadable`: broken, cut short, not understood, longer than `max_seconds`.
    """
    if not path.stat().st_size:
        raise _broken("the audio is empty: 0 bytes")
    with _opened(path, ask.raw) as container:
        stream = _stream_of(container)
        info = _info(container, stream, ask, path)
        if info.claimed_seconds is not None and info.claimed_seconds > max_seconds:
            raise _too_long(info.claimed_seconds, max_seconds)
        yield info
        tally = _Tally()
        yield from _blocks(_frames(container, stream, tally), info, ask.sample_rate, tally, max_seconds)
        _check(info, tally)


def _opened(path: Path, raw: RawFormat | None) -> InputContainer:
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join([*_DEMUXERS, *_RAW.values()])}
    if raw is not None:
        options |= {"sample_rate": str(raw.sample_rate), "ch_layout": f"{raw.channels}C"}
    try:
        return av.open(
            f"file:{path}",
            format=_RAW[raw.encoding] if raw else None,
            options=options,
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, OSError, ValueError, OverflowError) as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> Unreadable:
    with path.open("rb") as file:
        head = file.read(16)
    for offset, magic, name in _MAGIC:
        if head[offset:].startswith(magic):
            return _broken(f"the audio begins like a {name} file but cannot be read: damaged, or cut off")
    return _unsupported(f"not an audio file that is read here; send one of: {', '.join(FORMATS)}")


def _stream_of(container: InputContainer) -> AudioStream:
    name = container.format.name
    if name not in _DEMUXERS and name not in _RAW.values():
        raise _unsupported(f"{name} files are not read here; send one of: {', '.join(FORMATS)}")
    if not container.streams.audio:
        raise _unsupported("the file holds no sound, only other tracks")
    stream = container.streams.audio[0]
    codec = stream.codec_context.name
    if not (codec in _CODECS or codec.startswith("pcm_")):
        raise _unsupported(f"the sound is coded as {codec}, which is not read here")
    if stream.rate not in _RATES:
        raise _broken(f"the file claims {stream.rate} samples a second")
    if not 1 <= stream.channels <= _MOST_CHANNELS:
        raise _broken(f"the file claims {stream.channels} channels")
    stream.codec_context.thread_count = 1
    return stream


def _info(container: InputContainer, stream: AudioStream, ask: DecodeAsk, path: Path) -> AudioInfo:
    if ask.split and stream.channels > 2:
        raise _unsupported(f"{stream.channels} channels; at most 2 are kept apart")
    name = _DEMUXERS.get(container.format.name, "raw")
    return AudioInfo(
        format=name,
        codec=stream.codec_context.name,
        sample_rate=stream.rate,
        channels=stream.channels,
        out_channels=stream.channels if ask.split else 1,
        claimed_seconds=_claim(container, stream, name, path),
    )


def _claim(container: InputContainer, stream: AudioStream, name: str, path: Path) -> float | None:
    """Seconds by the file's own header. ffmpeg quietly mends that of a WAV file that was cut off."""
    if name == "wav":
        return _wav_claim(path)
    if name in _DECLARED and stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if name in _DECLARED and container.duration:
        return container.duration / av.time_base
    return None


def _wav_claim(path: Path) -> float | None:
    with path.open("rb") as file:
        head = file.read(LONGEST)
    try:
        header = read_header(head) if head[:4] == b"RIFF" else None
    except BadHeader:
        return None
    if header is None or header.size is None or header.format not in _FIXED_WIDTH:
        return None
    octets_a_second = header.sample_rate * header.channels * header.bits // 8
    return header.size / octets_a_second if octets_a_second else None


def _frames(container: InputContainer, stream: AudioStream, tally: _Tally) -> Iterator[AudioFrame]:
    """Decoded frames; what cannot be decoded is passed over and counted."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.error.FFmpegError, OSError):
            tally.bad += 1
            return
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, OSError):
            tally.bad += 1
            continue
        tally.good += 1
        for frame in frames:
            assert isinstance(frame, AudioFrame)
            if frame.sample_rate not in _RATES:
                raise _broken(f"a stretch of the file claims {frame.sample_rate} samples a second")
            tally.seconds += frame.samples / frame.sample_rate
            yield frame


def _blocks(
    frames: Iterator[AudioFrame], info: AudioInfo, rate: int, tally: _Tally, max_seconds: float
) -> Iterator[bytes]:
    """16-bit samples, `BLOCK_SECONDS` at a time."""
    size = round(BLOCK_SECONDS * rate) * 2 * info.out_channels
    layout = "stereo" if info.out_channels == 2 else "mono"
    waiting = bytearray()
    converter, shape = AudioResampler("s16", layout, rate), None
    for frame in frames:
        if tally.seconds > max_seconds + _SPARE_SECONDS:
            raise _too_long(None, max_seconds)
        if shape not in (None, _shape(frame)):  # a chained file may change rate or channels in the middle
            waiting += _flushed(converter)
            converter = AudioResampler("s16", layout, rate)
        shape = _shape(frame)
        frame.pts = None
        for out in converter.resample(frame):
            waiting += _samples(out, info.out_channels)
        while len(waiting) >= size:
            yield bytes(waiting[:size])
            del waiting[:size]
    if shape is not None:
        waiting += _flushed(converter)
    if waiting:
        yield bytes(waiting)


def _shape(frame: AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.layout.name, frame.format.name


def _flushed(converter: AudioResampler) -> bytes:
    return b"".join(_samples(out, len(out.layout.channels)) for out in converter.resample(None))


def _samples(frame: AudioFrame, channels: int) -> bytes:
    return bytes(frame.planes[0])[: frame.samples * 2 * channels]


def _check(info: AudioInfo, tally: _Tally) -> None:
    """Was it all there?"""
    if not tally.seconds:
        raise _broken(f"the {info.format} file holds no sound that can be decoded")
    claimed = info.claimed_seconds
    if claimed is not None and claimed - tally.seconds > max(_SHORT_SECONDS, _SHORT_BY * claimed):
        raise _broken(
            f"the {info.format} file ends early: by its header it lasts {claimed:.1f} s, but only "
            f"{tally.seconds:.1f} s are there"
        )
    if tally.bad > max(2, _BAD_PACKETS * (tally.good + tally.bad)):
        share = tally.bad / (tally.good + tally.bad)
        raise _broken(f"{share:.0%} of the {info.format} file's packets cannot be decoded")


def _too_long(seconds: float | None, limit: float) -> Unreadable:
    says = f"it says it lasts {seconds / 60:.1f} min; " if seconds else ""
    return Unreadable(Reason.LONG, f"the audio is too long: {says}the limit is {limit / 60:g} min")


def _broken(detail: str) -> Unreadable:
    return Unreadable(Reason.BROKEN, detail)


def _unsupported(detail: str) -> Unreadable:
    return Unreadable(Reason.UNSUPPORTED, detail)
