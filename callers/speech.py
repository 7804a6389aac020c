"""Recorded prompts, the tracks a caller plays, and where in a signal somebody speaks."""

from __future__ import annotations

import csv
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from callers.g711 import Pcm, ulaw_encode

RATE = 8000
"""Samples per second of everything here."""

_PIECE = RATE // 100
_FLOOR_DBFS = -50.0
_BELOW_LOUDEST_DB = 38.0
_FULL_SCALE = 32768.0


@dataclass(frozen=True, slots=True)
class Prompt:
    """One recording and the words in it."""

    name: str
    text: str
    pcm: Pcm


@dataclass(frozen=True, slots=True)
class Spoken:
    """Where a prompt lies in a track, in samples: its first and one past its last voiced one."""

    prompt: Prompt
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Track:
    """What a caller plays through one call, without a break."""

    pcm: Pcm
    spoken: tuple[Spoken, ...]

    @property
    def seconds(self) -> float:
        return len(self.pcm) / RATE

    def write_ulaw(self, path: Path) -> Path:
        """Store the raw µ-law codes, which is what SIPp streams."""
        path.write_bytes(ulaw_encode(self.pcm).tobytes())
        return path


def read_wav(path: Path) -> Pcm:
    """Samples of a mono 16-bit WAV of 8 kHz. Raises ValueError for anything else."""
    with wave.open(str(path), "rb") as file:
        shape = (file.getnchannels(), file.getsampwidth(), file.getframerate())
        if shape != (1, 2, RATE):
            raise ValueError(f"{path}: want mono, 16 bit, {RATE} Hz; has {shape}")
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.int16)


def write_wav(path: Path, pcm: Pcm) -> Path:
    """Store samples as a mono 16-bit WAV of 8 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm.astype("<i2").tobytes())
    return path


def load_prompts(folder: Path) -> list[Prompt]:
    """Every recording that the folder's prompts.tsv names (file, tab, words), in its order."""
    with (folder / "prompts.tsv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if len(row) >= 2]
    return [
        Prompt(Path(name).stem, text, read_wav(folder / name))
        for name, text, *_ in rows
        if name.endswith(".wav")
    ]


def silence(seconds: float) -> Pcm:
    """So much nothing."""
    return np.zeros(round(seconds * RATE), dtype=np.int16)


def build_track(
    prompts: Sequence[Prompt], *, lead: float, gap: float, tail: float, answer: float = 0.0
) -> Track:
    """Prompts one after the other, with `gap` seconds of silence after each but the last, `tail` after that.

    `answer` leaves room for a reply as well: so many seconds of silence for each second of the prompt.
    """
    parts = [silence(lead)]
    spoken: list[Spoken] = []
    length = len(parts[0])
    for number, prompt in enumerate(prompts):
        start, end = voiced_span(prompt.pcm)
        spoken.append(Spoken(prompt, length + start, length + end))
        room = answer * len(prompt.pcm) / RATE
        after = silence(room + (tail if number == len(prompts) - 1 else gap))
        parts += [prompt.pcm, after]
        length += len(prompt.pcm) + len(after)
    return Track(np.concatenate(parts), tuple(spoken))


def levels_dbfs(pcm: Pcm, piece: int = _PIECE) -> npt.NDArray[np.float64]:
    """Level of each whole piece (10 ms unless told otherwise) in dB of a full-scale square wave."""
    whole = len(pcm) // piece * piece
    pieces = pcm[:whole].astype(np.float64).reshape(-1, piece) / _FULL_SCALE
    power = np.mean(pieces * pieces, axis=1)
    levels: npt.NDArray[np.float64] = 10.0 * np.log10(np.maximum(power, 1e-12))
    return levels


def voiced_pieces(pcm: Pcm) -> npt.NDArray[np.bool_]:
    """Which 10 ms pieces carry speech: within 38 dB of the loudest one and above -50 dBFS."""
    levels = levels_dbfs(pcm)
    if not len(levels):
        return np.zeros(0, dtype=np.bool_)
    return levels > max(_FLOOR_DBFS, float(levels.max()) - _BELOW_LOUDEST_DB)


def voiced_span(pcm: Pcm) -> tuple[int, int]:
    """First voiced sample and one past the last, to 10 ms; (0, 0) when there is none."""
    voiced = np.flatnonzero(voiced_pieces(pcm))
    if not len(voiced):
        return 0, 0
    return int(voiced[0]) * _PIECE, (int(voiced[-1]) + 1) * _PIECE
