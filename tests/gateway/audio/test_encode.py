"""Every format that is made, read back by the decoder; and that it comes while it is still being spoken."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator
from itertools import product

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audio.encode import RATES, Codec, Container, SpeechFormat, encoded, open_encoder
from gateway.errors import FormatUnfit
from media.frame import Pcm
from media.g711 import to_alaw, to_ulaw
from tests.gateway.audio.files import tone

SOURCE = 24000
FORMATS = [
    *(SpeechFormat(codec, rate) for codec, rate in product(Codec, (8000, 16000, 24000, 48000))
      if codec is not Codec.OPUS),
    *(SpeechFormat(Codec.OPUS, rate, Container.OGG) for rate in RATES[Codec.OPUS]),
    *(SpeechFormat(codec, 8000, Container.WAV) for codec in (Codec.LINEAR16, Codec.MULAW, Codec.ALAW)),
    SpeechFormat(Codec.MP3, 44100), SpeechFormat(Codec.MP3, 22050, bit_rate=32000),
    SpeechFormat(Codec.FLAC, 44100), SpeechFormat(Codec.LINEAR16, 44100),
]  # fmt: skip
_DEMUXERS = {Codec.LINEAR16: "s16le", Codec.MULAW: "mulaw", Codec.ALAW: "alaw"}


def whole(format: SpeechFormat, sound: Pcm, pieces: int = 7) -> bytes:
    encoder = open_encoder(format, SOURCE)
    return b"".join([*(encoder.push(piece) for piece in np.array_split(sound, pieces)), encoder.finish()])


def read(octets: bytes, format: SpeechFormat) -> tuple[Pcm, int]:
    raw = format.container is Container.NONE and format.codec in _DEMUXERS
    options = {"sample_rate": str(format.sample_rate), "ch_layout": "mono"} if raw else {}
    name = _DEMUXERS[format.codec] if raw else None
    with av.open(io.BytesIO(octets), "r", format=name, options=options) as file:
        resampler = av.AudioResampler("s16", "mono", format.sample_rate)
        rate = file.streams.audio[0].rate
        frames = [out for frame in file.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]), rate


def name(format: SpeechFormat) -> str:
    return f"{format.codec}-{format.sample_rate}-{format.container}"


@pytest.mark.parametrize("format", FORMATS, ids=name)
def test_what_is_spoken_is_what_is_heard(format: SpeechFormat) -> None:
    sound, rate = read(whole(format, tone(1.0, SOURCE)), format)
    assert rate == (48000 if format.codec is Codec.OPUS else format.sample_rate)
    assert len(sound) / format.sample_rate == pytest.approx(1.0, abs=0.16)
    middle = sound[format.sample_rate // 4 : format.sample_rate * 3 // 4]
    assert np.std(middle) == pytest.approx(16000 / 2**0.5, rel=0.08)
    loudest = np.argmax(np.abs(np.fft.rfft(middle.astype(float)))) * format.sample_rate / len(middle)
    assert loudest == pytest.approx(440, abs=4)


@pytest.mark.parametrize("format", [f for f in FORMATS if f.sample_rate in (8000, 24000)], ids=name)
def test_the_first_second_is_heard_before_the_next_is_spoken(format: SpeechFormat) -> None:
    encoder = open_encoder(format, SOURCE)
    early = encoder.push(tone(1.0, SOURCE))
    sound, _ = read(early, format)
    assert len(sound) / format.sample_rate > 0.55


@pytest.mark.parametrize("codec", [Codec.LINEAR16, Codec.MULAW, Codec.ALAW])
def test_plain_samples_are_exact(codec: Codec) -> None:
    sound = tone(0.5, SOURCE)
    plain = {Codec.LINEAR16: sound.tobytes(), Codec.MULAW: to_ulaw(sound), Codec.ALAW: to_alaw(sound)}
    assert whole(SpeechFormat(codec, SOURCE), sound) == plain[codec]


def test_a_wav_header_leaves_the_length_open() -> None:
    octets = whole(SpeechFormat(Codec.LINEAR16, SOURCE, Container.WAV), tone(0.1, SOURCE))
    assert octets[:4] == b"RIFF" and octets[8:16] == b"WAVEfmt "
    assert octets[4:8] == octets[40:44] == b"\xff\xff\xff\xff"
    assert len(octets) == 44 + 2 * 2400


@pytest.mark.parametrize("format", FORMATS, ids=name)
def test_silence_of_no_length_is_a_file_too(format: SpeechFormat) -> None:
    encoder = open_encoder(format, SOURCE)
    encoder.push(np.zeros(0, np.int16))
    encoder.finish()


@pytest.mark.parametrize(
    ("codec", "rate", "container", "bit_rate", "told"),
    [
        (Codec.MP3, 8001, Container.NONE, 0, "8000, 11025"),
        (Codec.OPUS, 44100, Container.OGG, 0, "48000"),
        (Codec.OPUS, 48000, Container.NONE, 0, "ogg"),
        (Codec.MP3, 24000, Container.WAV, 0, "none"),
        (Codec.LINEAR16, 4000, Container.NONE, 0, "8000 to 48000"),
        (Codec.MP3, 24000, Container.NONE, 1, "6000 to 320000"),
    ],
)
def test_what_does_not_go_together(
    codec: Codec, rate: int, container: Container, bit_rate: int, told: str
) -> None:
    with pytest.raises(FormatUnfit, match=told):
        SpeechFormat(codec, rate, container, bit_rate)


@given(st.sampled_from(FORMATS), st.lists(st.integers(0, 3000), max_size=8))
def test_cuts_make_no_difference_to_plain_samples(format: SpeechFormat, sizes: list[int]) -> None:
    if format.codec not in _DEMUXERS:
        return
    sound = tone(1.0, SOURCE)[: sum(sizes)]
    encoder = open_encoder(format, SOURCE)
    pieces = np.split(sound, np.cumsum(sizes)[:-1]) if sizes else []
    cut = b"".join([*(encoder.push(piece) for piece in pieces), encoder.finish()])
    assert abs(len(cut) - len(whole(format, sound, 1))) <= 4


@pytest.mark.parametrize("codec", [Codec.MP3, Codec.LINEAR16])
def test_a_client_that_leaves_ends_the_speech(codec: Codec) -> None:
    ended = False

    async def speech() -> AsyncGenerator[Pcm, None]:
        nonlocal ended
        try:
            while True:
                yield tone(0.5, SOURCE)
        finally:
            ended = True

    async def main() -> bytes:
        sent: AsyncIterator[bytes] = encoded(speech(), SpeechFormat(codec, SOURCE), SOURCE)
        first = await anext(sent)
        await sent.aclose()  # type: ignore[attr-defined]
        return first

    assert asyncio.run(main())
    assert ended


def test_media_types() -> None:
    assert SpeechFormat(Codec.LINEAR16, 16000).media_type == "audio/l16;rate=16000;channels=1"
    assert SpeechFormat(Codec.MULAW, 8000, Container.WAV).media_type == "audio/wav"
    assert SpeechFormat(Codec.MP3, 24000).media_type == "audio/mpeg"
