"""Every container by its sound, and hostile files by their refusals."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from gateway.audio.decoder_wire import AudioInfo, DecodeAsk, RawFormat
from gateway.audio.file_reader import read_file
from gateway.audio.unreadable import Reason, Unreadable
from media.frame import Pcm
from media.g711 import to_alaw, to_ulaw
from tests.gateway.audio.files import KINDS, film, long_silence, made, tone, wav, wav_header

RATE = 16000


def read(
    folder: Path, octets: bytes, ask: DecodeAsk | None = None, limit: float = 60.0
) -> tuple[AudioInfo, Pcm]:
    path = folder / "file"
    path.write_bytes(octets)
    items = list(read_file(path, ask or DecodeAsk(), limit))
    info = items[0]
    assert isinstance(info, AudioInfo)
    return info, np.frombuffer(b"".join(item for item in items[1:] if isinstance(item, bytes)), np.int16)


def refusal(folder: Path, octets: bytes, limit: float = 60.0, ask: DecodeAsk | None = None) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        read(folder, octets, ask, limit)
    return caught.value


def pitch(sound: Pcm, rate: int) -> float:
    """Hertz of the loudest tone."""
    spectrum = np.abs(np.fft.rfft(sound.astype(np.float64)))
    return float(np.argmax(spectrum) * rate / len(sound))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_its_sound(kind: str, tmp_path: Path) -> None:
    info, sound = read(tmp_path, made(kind, tone(2.0, 16000), 16000))
    assert info.format == kind.partition("-")[0]
    assert info.sample_rate == KINDS[kind][2]
    assert len(sound) / RATE == pytest.approx(2.0, abs=0.15)
    assert pitch(sound, RATE) == pytest.approx(440, abs=2)
    assert np.std(sound[RATE // 2 : -RATE // 2]) == pytest.approx(16000 / 2**0.5, rel=0.08)


def test_channels_are_mixed_or_kept_apart(tmp_path: Path) -> None:
    octets = made("flac", tone(1.0, 16000), 16000, stereo=True)
    info, mixed = read(tmp_path, octets)
    assert (info.channels, info.out_channels) == (2, 1)
    assert np.abs(mixed).max() == pytest.approx(8000, rel=0.1)
    info, both = read(tmp_path, octets, DecodeAsk(split=True))
    assert info.out_channels == 2
    left, right = both.reshape(-1, 2).T
    assert np.abs(left).max() == pytest.approx(16000, rel=0.1)
    assert not right.any()


@pytest.mark.parametrize(
    ("encoding", "octets"),
    [
        ("linear16", tone(1.0, 8000).tobytes()),
        ("mulaw", to_ulaw(tone(1.0, 8000))),
        ("alaw", to_alaw(tone(1.0, 8000))),
        ("linear32", (tone(1.0, 8000) / 32768).astype("<f4").tobytes()),
    ],
)
def test_sound_without_a_container(encoding: str, octets: bytes, tmp_path: Path) -> None:
    info, sound = read(tmp_path, octets, DecodeAsk(8000, raw=RawFormat(encoding, 8000)))
    assert (info.format, info.sample_rate) == ("raw", 8000)
    assert len(sound) == 8000
    assert pitch(sound, 8000) == pytest.approx(440, abs=2)


def test_nothing_at_all(tmp_path: Path) -> None:
    error = refusal(tmp_path, b"")
    assert error.reason is Reason.BROKEN and "0 bytes" in str(error)


@pytest.mark.parametrize("octets", [b"hello, this is text\n" * 50, bytes(5000), b"%PDF-1.7" + bytes(999)])
def test_no_audio(octets: bytes, tmp_path: Path) -> None:
    assert refusal(tmp_path, octets).reason is Reason.UNSUPPORTED


def test_playlists_are_not_followed(tmp_path: Path) -> None:
    """ffmpeg would open what they name: files of ours, servers inside."""
    (tmp_path / "secret.wav").write_bytes(made("wav", tone(1.0, 16000), 16000))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:1,\n{tmp_path}/secret.wav\n#EXT-X-ENDLIST\n"
    concat = f"ffconcat version 1.0\nfile '{tmp_path}/secret.wav'\n"
    for text in (playlist, concat):
        assert refusal(tmp_path, text.encode()).reason is Reason.UNSUPPORTED


@pytest.mark.parametrize("kind", ["wav", "flac", "m4a", "webm"])
def test_a_file_cut_in_the_middle(kind: str, tmp_path: Path) -> None:
    octets = made(kind, tone(8.0, 16000), 16000)
    error = refusal(tmp_path, octets[: len(octets) // 2])
    assert error.reason is Reason.BROKEN
    assert "early" in str(error) or "cut off" in str(error)


def test_a_wav_file_of_unknown_length_is_whole(tmp_path: Path) -> None:
    """Written by whoever streams, ourselves included."""
    for claim in (0xFFFFFFFF, 0):
        _, sound = read(tmp_path, wav_header(claim) + tone(1.0, 8000).tobytes())
        assert len(sound) == RATE


def test_a_claim_of_ten_hours_is_refused_at_once(tmp_path: Path) -> None:
    error = refusal(tmp_path, wav_header(36000 * 16000) + bytes(1000), limit=7200.0)
    assert error.reason is Reason.LONG and "600.0 min" in str(error) and "120 min" in str(error)


def test_more_sound_than_is_taken(tmp_path: Path) -> None:
    """A small file may hold hours of silence: it is stopped by what it holds, not by what it says."""
    path = tmp_path / "file"
    path.write_bytes(made("mp3", np.zeros(30 * 16000, np.int16), 16000))
    taken = 0
    with pytest.raises(Unreadable) as caught:
        for item in read_file(path, DecodeAsk(), 10.0):
            taken += len(item) if isinstance(item, bytes) else 0
    assert caught.value.reason is Reason.LONG
    assert taken / 2 / RATE <= 12


def test_a_film_gives_its_sound(tmp_path: Path) -> None:
    info, sound = read(tmp_path, film(tone(1.0, 16000), 16000))
    assert info.format == "webm"
    assert pitch(sound, RATE) == pytest.approx(440, abs=3)
    error = refusal(tmp_path, film(None, 16000))
    assert error.reason is Reason.UNSUPPORTED and "no sound" in str(error)


def test_absurd_claims(tmp_path: Path) -> None:
    for rate in (1, 4_000_000):
        assert refusal(tmp_path, wav_header(1000, rate=rate) + bytes(1000)).reason is Reason.BROKEN
    header = bytearray(wav_header(1000))
    header[22:24] = struct.pack("<H", 999)
    assert refusal(tmp_path, bytes(header) + bytes(1000)).reason in (Reason.BROKEN, Reason.UNSUPPORTED)


def test_a_mostly_damaged_file(tmp_path: Path) -> None:
    octets = bytearray(made("flac", tone(8.0, 16000), 16000))
    noise = np.random.default_rng(3).bytes(len(octets) // 2)
    octets[len(octets) // 4 : len(octets) // 4 + len(noise)] = noise
    assert refusal(tmp_path, bytes(octets)).reason is Reason.BROKEN


def test_blocks_are_a_second_long(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    long_silence(path, 300)
    sizes = [len(item) for item in read_file(path, DecodeAsk(8000), 600.0) if isinstance(item, bytes)]
    assert set(sizes) == {16000} and len(sizes) == 300


def test_the_plain_file_comes_out_as_it_was(tmp_path: Path) -> None:
    sound = tone(1.0, RATE)
    _, back = read(tmp_path, wav(sound, RATE))
    assert np.array_equal(back, sound)
