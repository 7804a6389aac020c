from __future__ import annotations

import tempfile
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from media.tones import rms_level, tone
from media.wav import read_mono, read_wav, write_wav


@settings(max_examples=30, deadline=None)
@given(arrays(np.int16, st.tuples(st.integers(0, 300), st.integers(1, 2))), st.sampled_from([8000, 48000]))
def test_what_is_written_is_read(sound: npt.NDArray[np.int16], rate: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check_round_trip(Path(folder) / "sound.wav", sound, rate)


def check_round_trip(path: Path, sound: npt.NDArray[np.int16], rate: int) -> None:
    write_wav(path, sound, rate)
    read, at_rate = read_wav(path)
    assert at_rate == rate
    np.testing.assert_array_equal(read, sound)


def test_a_file_appears_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")
    write_wav(path, np.arange(100, dtype=np.int16), 8000)
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]
    assert len(read_mono(path, 8000)) == 100


def test_stereo_at_another_rate_becomes_mono_at_ours(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    left = tone([1000.0], 0.5, 48000, level=-20.0)
    write_wav(path, np.stack([left, left], axis=1), 48000)
    mono = read_mono(path, 8000)
    assert len(mono) == 4000
    assert rms_level(mono[400:-400]) == pytest.approx(rms_level(left), abs=0.3)


def test_the_mean_of_two_loud_channels_does_not_wrap(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    write_wav(path, np.full((10, 2), 32767, np.int16), 8000)
    assert read_mono(path, 8000).tolist() == [32767] * 10


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\x04\x00\x00\x00WAVE", b"ID3 not a wav at all" * 10])
def test_what_is_no_wav_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="bad.wav"):
        read_wav(path)


def test_other_sample_widths_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(3)
        file.setframerate(8000)
        file.writeframes(b"\0" * 300)
    with pytest.raises(ValueError, match="24 bits"):
        read_wav(path)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        read_wav(tmp_path / "none.wav")
