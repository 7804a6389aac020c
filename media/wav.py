"""WAV files of 16-bit samples, in and out."""

from __future__ import annotations

import os
import wave
from pathlib import Path

import numpy as np

from media.frame import Pcm
from media.resample import resample

_WIDTH = 2
LONGEST = 4 * 3600
"""Seconds of sound that are read at most: a file beyond it is a mistake."""


def read_wav(path: Path) -> tuple[Pcm, int]:
    """The samples, shape (samples, channels), and their rate.

    Raises `OSError`, and `ValueError` for anything but 16-bit PCM of at most `LONGEST` seconds.
    """
    try:
        with wave.open(str(path), "rb") as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            if width != _WIDTH or not rate or not channels:
                raise ValueError(f"{path}: {8 * width} bits a sample; only 16-bit PCM is read")
            if file.getnframes() > LONGEST * rate:
                raise ValueError(f"{path}: longer than {LONGEST} seconds")
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path}: no WAV file of PCM samples ({error or 'it ends early'})") from error
    whole = len(data) // (_WIDTH * channels) * channels
    return np.frombuffer(data, "<i2", whole).astype(np.int16).reshape(-1, channels), rate


def read_mono(path: Path, sample_rate: int) -> Pcm:
    """The file as one channel at this rate; several channels are averaged. Raises as `read_wav` does."""
    sound, rate = read_wav(path)
    mono = sound[:, 0] if sound.shape[1] == 1 else np.rint(sound.mean(axis=1)).astype(np.int16)
    return resample(np.ascontiguousarray(mono), rate, sample_rate)


def write_wav(path: Path, sound: Pcm, sample_rate: int) -> None:
    """Write (samples,) or (samples, channels); the file appears whole or not at all. Raises `OSError`."""
    staged = path.with_name(path.name + ".part")
    with wave.open(str(staged), "wb") as file:
        file.setnchannels(1 if sound.ndim == 1 else sound.shape[1])
        file.setsampwidth(_WIDTH)
        file.setframerate(sample_rate)
        file.writeframes(np.ascontiguousarray(sound, "<i2").tobytes())
    os.replace(staged, path)
