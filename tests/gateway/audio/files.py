"""Audio files of every kind, made for the tests."""

from __future__ import annotations

import io
import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from media.frame import Pcm

KINDS = {
    "wav": ("wav", "pcm_s16le", 16000),
    "wav-mulaw": ("wav", "pcm_mulaw", 8000),
    "wav-float": ("wav", "pcm_f32le", 44100),
    "mp3": ("mp3", "libmp3lame", 44100),
    "mp3-8k": ("mp3", "libmp3lame", 8000),
    "flac": ("flac", "flac", 48000),
    "ogg-opus": ("ogg", "libopus", 48000),
    "m4a": ("ipod", "aac", 44100),
    "webm": ("webm", "libopus", 48000),
    "aac": ("adts", "aac", 22050),
}
"""Container, codec and rate by name."""


def tone(seconds: float, rate: int, hertz: float = 440.0) -> Pcm:
    """A sine at half scale."""
    return np.round(np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate) * 16000).astype(
        np.int16
    )


def made(kind: str, sound: Pcm, rate: int, *, stereo: bool = False) -> bytes:
    """The sound as a file of this kind; `stereo` puts silence on the right."""
    muxer, codec, out_rate = KINDS[kind]
    target = io.BytesIO()
    layout = "stereo" if stereo else "mono"
    with av.open(target, "w", format=muxer) as container:
        stream = container.add_stream(codec, rate=out_rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        row = np.stack([sound, np.zeros_like(sound)], axis=1).reshape(1, -1) if stereo else sound[None, :]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(row), format="s16", layout=layout)
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


def film(sound: Pcm | None, rate: int) -> bytes:
    """A video file, with this sound or without any."""
    target = io.BytesIO()
    with av.open(target, "w", format="matroska") as container:
        video = container.add_stream("mpeg4", rate=10)
        assert isinstance(video, av.VideoStream)
        video.width, video.height = 64, 64
        audio = container.add_stream("aac", rate=rate, layout="mono") if sound is not None else None
        for number in range(10):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 25 * number, np.uint8), format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, 10)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if sound is not None:
            assert isinstance(audio, av.AudioStream)
            frame = av.AudioFrame.from_ndarray(sound[None, :], format="s16", layout="mono")
            frame.sample_rate = rate
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return target.getvalue()


def wav_header(octets: int, *, rate: int = 8000, tag: int = 1, width: int = 2) -> bytes:
    """A WAV header that claims so many octets of sound."""
    shape = struct.pack("<HHIIHH", tag, 1, rate, rate * width, width, 8 * width)
    return b"RIFF" + struct.pack("<I", min(octets + 36, 0xFFFFFFFF)) + b"WAVEfmt " + struct.pack(
        "<I", len(shape)
    ) + shape + b"data" + struct.pack("<I", octets)  # fmt: skip


def long_silence(path: Path, seconds: int) -> None:
    """A mu-law file of so many seconds that takes no room on the disk."""
    with path.open("wb") as file:
        file.write(wav_header(seconds * 8000, tag=7, width=1))
        file.truncate(file.tell() + seconds * 8000)


def wav(sound: Pcm, rate: int) -> bytes:
    """A plain WAV file."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound.tobytes())
    return target.getvalue()
