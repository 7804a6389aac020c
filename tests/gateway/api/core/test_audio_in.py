"""What clients send, to frames."""

from __future__ import annotations

import asyncio
import io
import wave

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.api.core.audio_in import AudioForm, AudioIn, Encoding
from gateway.api.core.audio_packed import open_packed
from gateway.errors import AudioUnfit, RequestUnfit
from media import g711, tones
from media.frame import Pcm

SECONDS = 1.5


def hum(rate: int) -> Pcm:
    return tones.tone((440.0,), SECONDS, rate)


async def taken(form: AudioForm, pieces: list[bytes]) -> Pcm:
    audio = AudioIn(form, open_packed)
    try:
        frames = [frame for piece in pieces for frame in await audio.push(piece, 1.0)]
        frames += await audio.flush(2.0)
    finally:
        audio.close()
    assert {frame.sample_rate for frame in frames} == {form.frame_rate}
    assert [frame.pts for frame in frames] == [n * form.frame_rate // 50 for n in range(len(frames))]
    return np.concatenate([frame.pcm for frame in frames])


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[place : place + size] for place in range(0, len(data), size)]


def pitch(pcm: Pcm, rate: int) -> float:
    middle = pcm[len(pcm) // 4 : len(pcm) * 3 // 4].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    return float(np.argmax(spectrum)) * rate / len(middle)


RAW = {
    Encoding.LINEAR16: lambda pcm: pcm.tobytes(),
    Encoding.LINEAR32: lambda pcm: (pcm.astype("<f4") / 32768).tobytes(),
    Encoding.MULAW: g711.to_ulaw,
    Encoding.ALAW: g711.to_alaw,
}


@pytest.mark.parametrize("encoding", list(RAW))
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000])
def test_raw_sound_of_every_rate(encoding: Encoding, rate: int) -> None:
    got = asyncio.run(taken(AudioForm(encoding, rate), cut(RAW[encoding](hum(rate)), 333)))
    out = 8000 if rate == 8000 else 16000
    assert len(got) == pytest.approx(SECONDS * out, abs=out / 25)
    assert pitch(got, out) == pytest.approx(440, abs=3)
    assert np.abs(got).max() == pytest.approx(np.abs(hum(rate)).max(), rel=0.1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=40), st.sampled_from(list(RAW)))
def test_the_cut_of_messages_changes_nothing(sizes: list[int], encoding: Encoding) -> None:
    data = RAW[encoding](hum(8000))
    pieces, place = [], 0
    for size in sizes:
        pieces.append(data[place : place + size])
        place += size
    pieces.append(data[place:])
    form = AudioForm(encoding, 8000)
    assert np.array_equal(asyncio.run(taken(form, pieces)), asyncio.run(taken(form, [data])))


def test_channels_are_mixed() -> None:
    left = hum(16000)
    both = np.stack([left, np.zeros_like(left)], axis=1).tobytes()
    got = asyncio.run(taken(AudioForm(Encoding.LINEAR16, 16000, 2), cut(both, 999)))
    assert np.abs(got[: len(left)] - left // 2).max() <= 1


def wav(pcm: Pcm, rate: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(pcm.tobytes())
    return file.getvalue()


def muxed(kind: str, codec: str, rate: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as out:
        stream = out.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(hum(rate)[None, :], format="s16", layout="mono")
        frame.sample_rate = rate
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


FILES = {
    "wav": lambda: wav(hum(22050), 22050),
    "ogg": lambda: muxed("ogg", "libopus", 48000),
    "webm": lambda: muxed("webm", "libopus", 48000),
    "flac": lambda: muxed("flac", "flac", 16000),
    "mp3": lambda: muxed("mp3", "libmp3lame", 44100),
}


@pytest.mark.parametrize("kind", list(FILES))
@pytest.mark.parametrize("size", [97, 4000, 10_000_000])
def test_files_are_read_while_they_grow(kind: str, size: int) -> None:
    got = asyncio.run(taken(AudioForm(Encoding.CONTAINER), cut(FILES[kind](), size)))
    assert len(got) / 16000 == pytest.approx(SECONDS, abs=0.1)
    assert pitch(got, 16000) == pytest.approx(440, abs=3)


def test_a_growing_file_is_heard_before_it_ends() -> None:
    async def scene() -> int:
        audio = AudioIn(AudioForm(Encoding.CONTAINER), open_packed)
        pieces = cut(FILES["ogg"](), 500)
        frames = [frame for piece in pieces[:-2] for frame in await audio.push(piece, 0.0)]
        audio.close()
        return len(frames)

    assert asyncio.run(scene()) > 20


def opus_packets() -> list[bytes]:
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format = 48000, "mono", "s16"
    codec.open()
    packets = []
    for block in hum(48000).reshape(-1, 960):
        frame = av.AudioFrame.from_ndarray(block[None, :], format="s16", layout="mono")
        frame.sample_rate = 48000
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return packets


def test_opus_packets_one_in_each_message() -> None:
    got = asyncio.run(taken(AudioForm(Encoding.OPUS, 48000), opus_packets()))
    assert len(got) / 16000 == pytest.approx(SECONDS, abs=0.1)
    assert pitch(got, 16000) == pytest.approx(440, abs=3)


def test_opus_in_ogg_is_known_by_itself() -> None:
    got = asyncio.run(taken(AudioForm(Encoding.OPUS, 48000), cut(FILES["ogg"](), 700)))
    assert pitch(got, 16000) == pytest.approx(440, abs=3)


@pytest.mark.parametrize(
    "data", [b"no sound at all, but text", bytes(4000), b"RIFF\0\0\0\0WAVEjunk" + bytes(99)]
)
def test_what_is_no_sound_is_told(data: bytes) -> None:
    with pytest.raises(AudioUnfit):
        asyncio.run(taken(AudioForm(Encoding.CONTAINER), [data]))


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(list(FILES)), st.integers(0, 5000), st.binary(max_size=200), st.integers(50, 5000))
def test_a_broken_file_never_breaks_us(kind: str, place: int, junk: bytes, size: int) -> None:
    data = FILES[kind]()[:20_000]
    data = data[:place] + junk + data[place + len(junk) :]
    try:
        asyncio.run(_fed(AudioForm(Encoding.CONTAINER), cut(data, size)))
    except AudioUnfit:
        pass


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=8))
def test_wrong_opus_packets_never_break_us(packets: list[bytes]) -> None:
    try:
        asyncio.run(_fed(AudioForm(Encoding.OPUS, 48000), packets))
    except AudioUnfit:
        pass


async def _fed(form: AudioForm, pieces: list[bytes]) -> None:
    audio = AudioIn(form, open_packed)
    try:
        for piece in pieces:
            await audio.push(piece, 0.0)
        await audio.flush(0.0)
    finally:
        audio.close()


@pytest.mark.parametrize(
    ("fields", "named"),
    [((Encoding.LINEAR16, 0), "sample_rate"), ((Encoding.MULAW, 4000), "sample_rate"),
     ((Encoding.LINEAR16, 96000), "sample_rate"), ((Encoding.LINEAR16, 8000, 9), "channels")],
)  # fmt: skip
def test_impossible_forms_are_refused_by_the_field(fields: tuple[Encoding, int], named: str) -> None:
    with pytest.raises(RequestUnfit, match=f"^{named}: "):
        AudioForm(*fields)
