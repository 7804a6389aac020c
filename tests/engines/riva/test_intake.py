"""Octets to frames."""

from __future__ import annotations

import io
import struct
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.riva.intake import ALAW, LINEAR, ULAW, UNSPECIFIED, AudioForm, Intake, encoding_name
from engines.riva.refusal import Refused
from media import g711, tones
from media.frame import AudioFrame, Pcm
from media.wav_header import LONGEST, BadHeader, read_header

TONE = tones.tone((440.0,), 0.31, 8000)


def wav(pcm: Pcm, rate: int = 8000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(pcm.tobytes())
    return file.getvalue()


def sound(frames: list[AudioFrame]) -> Pcm:
    return np.concatenate([frame.pcm for frame in frames])


def taken(intake: Intake, data: bytes, size: int) -> list[AudioFrame]:
    frames = [f for place in range(0, len(data), size) for f in intake.push(data[place : place + size], 1.0)]
    return frames + intake.flush(2.0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=40))
def test_pieces_of_any_length_give_the_same_frames(sizes: list[int]) -> None:
    data, intake, frames = TONE.tobytes(), Intake(AudioForm(LINEAR, 8000)), list[AudioFrame]()
    for size in sizes:
        frames += intake.push(data[:size], 0.0)
        data = data[size:]
    frames += intake.push(data, 0.0)
    frames += intake.flush(0.0)
    assert (sound(frames)[: len(TONE)] == TONE).all()
    assert not sound(frames)[len(TONE) :].any()
    assert [frame.pts for frame in frames] == [160 * n for n in range(len(frames))]
    assert {len(frame.pcm) for frame in frames} == {160}


@pytest.mark.parametrize(("encoding", "encode"), [(ULAW, g711.to_ulaw), (ALAW, g711.to_alaw)])
def test_companded_sound_is_read(encoding: int, encode: object) -> None:
    codes = encode(TONE)  # type: ignore[operator]
    got = sound(taken(Intake(AudioForm(encoding, 8000)), codes, 33))[: len(TONE)]
    assert np.abs(got.astype(int) - TONE).max() < 600
    assert np.corrcoef(got, TONE)[0, 1] > 0.999


@pytest.mark.parametrize("rate", [8001, 11025, 16000, 22050, 44100, 48000])
def test_any_rate_becomes_wide(rate: int) -> None:
    pcm = tones.tone((440.0,), 0.5, rate)
    intake = Intake(AudioForm(LINEAR, rate))
    frames = taken(intake, pcm.tobytes(), 999)
    assert {frame.sample_rate for frame in frames} == {16000}
    assert abs(len(sound(frames)) - 8000) <= 320
    spectrum = np.abs(np.fft.rfft(sound(frames)[:7680]))
    assert abs(int(spectrum.argmax()) * 16000 / 7680 - 440.0) < 5.0


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_wav_file_tells_its_form_itself(size: int) -> None:
    intake = Intake(AudioForm(UNSPECIFIED, 0))
    frames = taken(intake, wav(TONE) + b"LIST\4\0\0\0junk", size)
    assert (sound(frames)[: len(TONE)] == TONE).all()
    assert len(frames) == -(-len(TONE) // 160)
    assert intake.form == AudioForm(LINEAR, 8000)


def test_a_wav_file_of_unknown_length_is_read_to_its_end() -> None:
    header = wav(TONE)[:40] + struct.pack("<I", 0xFFFFFFFF)
    frames = taken(Intake(AudioForm(UNSPECIFIED, 0)), header + TONE.tobytes(), 1000)
    assert (sound(frames)[: len(TONE)] == TONE).all()


def extensible() -> bytes:
    form = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 8000, 8000, 1, 8, 22, 8, 4) + struct.pack("<H", 7) + bytes(14)
    return b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", len(form)) + form + b"data\0\0\0\0"


def test_an_extensible_header_names_its_kind_in_the_sub_format() -> None:
    frames = taken(Intake(AudioForm(UNSPECIFIED, 0)), extensible() + g711.to_ulaw(TONE), 50)
    assert np.corrcoef(sound(frames)[: len(TONE)], TONE)[0, 1] > 0.999


@pytest.mark.parametrize(
    ("form", "data", "field"),
    [
        ((UNSPECIFIED, 8000), b"\0" * 400, "encoding"),
        ((LINEAR, 0), b"\0" * 400, "sample_rate_hertz"),
        ((LINEAR, 16000), wav(TONE), "sample_rate_hertz"),
        ((ULAW, 8000), wav(TONE), "encoding"),
        ((UNSPECIFIED, 0), wav(TONE, rate=4000), "sample_rate_hertz"),
        ((UNSPECIFIED, 0), wav(TONE, rate=0xFFFFFF), "sample_rate_hertz"),
        ((UNSPECIFIED, 0), wav(np.zeros(800, np.int16), channels=2), "audio_channel_count"),
        ((UNSPECIFIED, 0), b"fLaC" + bytes(100), "FLAC"),
        ((LINEAR, 8000), b"OggS" + bytes(100), "OGGOPUS"),
        ((UNSPECIFIED, 0), b"RIFF\0\0\0\0AVI " + bytes(100), "WAV"),
        ((UNSPECIFIED, 0), b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\x7f", "does not begin"),
        ((UNSPECIFIED, 0), b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "without a format"),
        ((UNSPECIFIED, 0), b"RIFF\0\0\0\0WAVEfmt \2\0\0\0\1\0", "half a format"),
        ((UNSPECIFIED, 0), b"RIFF\0\0", "header"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(form: tuple[int, int], data: bytes, field: str) -> None:
    with pytest.raises(Refused, match=field):
        taken(Intake(AudioForm(*form)), data, 4096)


@pytest.mark.parametrize(
    ("encoding", "rate", "field"),
    [(2, 8000, "FLAC"), (99, 8000, "99"), (LINEAR, 4000, "4000"), (LINEAR, 96000, "96000")],
)
def test_forms_that_are_not_taken_are_refused_at_once(encoding: int, rate: int, field: str) -> None:
    with pytest.raises(Refused, match=field):
        AudioForm(encoding, rate)


def test_no_sound_at_all_is_no_error() -> None:
    assert Intake(AudioForm(UNSPECIFIED, 0)).flush(0.0) == []
    assert encoding_name(ULAW) == "MULAW"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 12))
def test_no_header_however_broken_raises_anything_else(junk: bytes, keep: int) -> None:
    data = wav(TONE)[: 12 + 4 * keep] + junk
    try:
        read_header(data)
    except BadHeader:
        pass


def test_an_endless_header_is_given_up() -> None:
    chunk = b"junk" + struct.pack("<I", 1000) + bytes(1000)
    with pytest.raises(BadHeader):
        read_header(b"RIFF\0\0\0\0WAVE" + chunk * (LONGEST // 1000 + 2))
