"""Is it speech at all? The recogniser writes words under silence, tones and noise; this is where they stop.

Two witnesses are heard. The sound: how long a voice was in it, that is, blocks that are periodic like a voice
and not steady like a tone. And the text: notes, loops, and the phrases that this model is known to make up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

_BLOCK, _HOP, _FFT = 256, 128, 512
"""Samples at 8 kHz: 32 ms blocks every 16 ms."""
_RATE = 8000
_PITCH = slice(_RATE // 400, _RATE // 70)
"""Lags of a voice between 70 and 400 Hz."""
_BAND = slice(4, 220)
"""Bins from 60 Hz to 3.4 kHz, where a telephone carries sound."""
_PERIODIC = 0.5
_STEADY = 0.985
"""Likeness of two spectra 64 ms apart above which nobody is speaking: voices move, tones do not."""
_APART = 4
_LINES, _PURE = 12, 0.99
"""Share of a block's energy in so few bins above which it is one or two pure tones."""
_EDGE = 2
"""Blocks beside a steady stretch that belong to it: a tone's onset is not steady yet."""
_RANGE_DB = 25.0
"""A block quieter than the loudest by more does not count."""

_INVENTED = re.compile(r"(thank you|thanks) (so much )?for (watching|listening)|subtitles? by", re.IGNORECASE)
_FILLERS = frozenset(("uh", "um", "ah", "oh", "eh", "hm", "hmm", "mm", "huh", "mhm", "ugh"))
_DOUBTFUL = frozenset(("you", "thank you", "thanks", "bye", "bye bye", "so", "the", "and"))
_LOOP = 3
"""An n-gram this often in a row is a loop ..."""
_LONGEST_GRAM = 6
"""... whatever its length in words up to this."""


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """When recognised words are believed."""

    min_voiced: float = 0.08
    """Seconds of voice below which words are not believed (0.16 s is the least seen in a spoken digit)."""
    min_voiced_share: float = 0.08
    """Least share of voice in the sounding part, 0 to 1; line noise reaches 0.05."""
    min_level: float = -58.0
    """Loudest 32 ms in dBFS below which a segment is silence."""
    min_confidence: float = 0.45
    """Confidence below which nothing is believed, 0 to 1."""
    doubtful_confidence: float = 0.7
    """Confidence that fillers and the phrases the model tends to invent must reach, 0 to 1."""
    doubtful_voiced: float = 0.13
    """Seconds of voice that those phrases need."""
    unvoiced_confidence: float = 0.85
    """Confidence at which four or more words are believed without voice: a whisper."""

    def __post_init__(self) -> None:
        for name in ("min_voiced_share", "min_confidence", "doubtful_confidence", "unvoiced_confidence"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}: give a share from 0 to 1")
        if not 0.0 <= self.min_voiced <= 5.0 or not 0.0 <= self.doubtful_voiced <= 5.0:
            raise ValueError("min_voiced, doubtful_voiced: give seconds from 0 to 5")
        if not -120.0 <= self.min_level <= 0.0:
            raise ValueError("min_level: give dBFS from -120 to 0")


class Doubt(StrEnum):
    """Why words were not believed."""

    SILENCE = "silence"
    NO_VOICE = "no_voice"
    NOTES = "notes"
    LOOP = "loop"
    INVENTED = "invented"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the sound itself says about speech."""

    level: float
    """Loudest block in dBFS."""
    active: float
    """Seconds within reach of that loudness."""
    voiced: float
    """Seconds of them that sound like a voice."""


SILENT = Evidence(-120.0, 0.0, 0.0)


def evidence_in(pcm: npt.NDArray[np.int16], sample_rate: int) -> Evidence:
    """Look for a voice. Costs about a millisecond for ten seconds of sound."""
    signal = pcm[:: sample_rate // _RATE].astype(np.float32) / 32768.0
    if len(signal) < _BLOCK * 2:
        return SILENT
    blocks = np.lib.stride_tricks.sliding_window_view(signal, _BLOCK)[::_HOP]
    blocks = blocks - blocks.mean(axis=1, keepdims=True)
    level = 10.0 * np.log10(np.square(blocks).mean(axis=1) + 1e-12)
    active = level > level.max() - _RANGE_DB
    voiced = active & (_periodicity(blocks) > _PERIODIC) & ~_steady(blocks)
    seconds = _HOP / _RATE
    return Evidence(float(level.max()), float(active.sum() * seconds), float(voiced.sum() * seconds))


def _periodicity(blocks: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Highest normalised autocorrelation of each block at a voice's pitch."""
    power = np.abs(np.fft.rfft(blocks, _FFT)) ** 2
    correlation = np.fft.irfft(power)[:, : _BLOCK // 2]
    overlap = _BLOCK / (_BLOCK - np.arange(_BLOCK // 2))
    correlation = correlation * overlap / (correlation[:, :1] + 1e-9)
    peak: npt.NDArray[np.float32] = correlation[:, _PITCH].max(axis=1)
    return peak


def _steady(blocks: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Blocks that belong to a tone or hum: the same spectrum before or after, edges included."""
    spectrum = np.abs(np.fft.rfft(blocks * np.hanning(_BLOCK), _FFT))[:, _BAND]
    spectrum = spectrum / (np.linalg.norm(spectrum, axis=1, keepdims=True) + 1e-9)
    alike = (spectrum[_APART:] * spectrum[:-_APART]).sum(axis=1) > _STEADY
    steady = np.zeros(len(blocks), np.bool_)
    steady[_APART:] |= alike
    steady[: len(blocks) - _APART] |= alike
    strongest = np.sort(np.square(spectrum), axis=1)[:, -_LINES:].sum(axis=1)
    steady |= strongest > _PURE
    # Only a stretch is a tone: a lone likeness happens in long vowels.
    return np.convolve(_runs(steady, _EDGE + 1), np.ones(2 * _EDGE + 1), "same") > 0


def _runs(flags: npt.NDArray[np.bool_], least: int) -> npt.NDArray[np.bool_]:
    """The flags that stand in a run of at least `least`."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.view(np.int8), [0]))))
    kept = np.zeros(len(flags), np.bool_)
    for start, stop in edges.reshape(-1, 2):
        kept[start:stop] = stop - start >= least
    return kept


def doubt_of(text: str, confidence: float, evidence: Evidence, settings: GuardSettings) -> Doubt | None:
    """Why these words must not reach anybody; None when they are to be believed."""
    words = plain_words(text)
    if evidence.level < settings.min_level:
        return Doubt.SILENCE
    if "♪" in text or not words:
        return Doubt.NOTES
    if loops(words):
        return Doubt.LOOP
    if _INVENTED.search(text) or text.strip().lower() == "you":
        return Doubt.INVENTED
    whispered = len(words) >= 4 and confidence >= settings.unvoiced_confidence
    share = evidence.voiced / evidence.active if evidence.active else 0.0
    if not whispered and (evidence.voiced < settings.min_voiced or share < settings.min_voiced_share):
        return Doubt.NO_VOICE
    phrase = " ".join(words)
    if phrase in _DOUBTFUL or set(words) <= _FILLERS:
        if confidence < settings.doubtful_confidence or evidence.voiced < settings.doubtful_voiced:
            return Doubt.INVENTED
    return Doubt.UNSURE if confidence < settings.min_confidence else None


def loops(words: Sequence[str]) -> bool:
    """Does the text repeat itself as a stuck decoder does? Digits said thrice are no loop."""
    for size in range(1, _LONGEST_GRAM + 1):
        # A single word may be said three times ("no no no"), a caller's pin may be 7 7 7 7.
        times = _LOOP + 2 if size == 1 else _LOOP
        for start in range(len(words) - size * times + 1):
            gram = words[start : start + size]
            if any(word.isdigit() or word in _DIGITS for word in gram):
                continue
            if all(words[start + size * n : start + size * (n + 1)] == gram for n in range(1, times)):
                return True
    return False


_DIGITS = frozenset("zero oh one two three four five six seven eight nine double triple".split())


def plain_words(text: str) -> list[str]:
    """Words in small letters without the marks around them."""
    bare = (word.strip(".,!?;:\"'()[]…-♪").lower() for word in text.split())
    return [word for word in bare if word]
