"""Recorded speech and line noises for tests: one prompt with silence around it, and what is no voice."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from media.frame import AudioFrame, Pcm, Voice
from media.segmenter import SegmenterSettings, SegmentEvent, SpeechSegmenter
from media.vad import VoiceDetector
from media.wav import read_mono

SPEECH = Path(__file__).resolve().parent.parent / "data" / "speech"
RATE, FRAME = 8000, 160


def prompts(sample_rate: int = RATE) -> list[Pcm]:
    """The recorded prompts, the shortest name first."""
    return [read_mono(path, sample_rate) for path in sorted(SPEECH.glob("*.wav"))]


def spoken(pcm: Pcm, before: float = 1.5, after: float = 1.0, sample_rate: int = RATE) -> Pcm:
    """The prompt on a line with faint noise."""
    rng = np.random.default_rng(5)
    silence = [np.zeros(int(seconds * sample_rate), np.int16) for seconds in (before, after)]
    line = np.concatenate([silence[0], pcm, silence[1]])
    line = line[: len(line) // (sample_rate // 50) * (sample_rate // 50)]
    return np.clip(line + rng.normal(0, 20, len(line)), -32768, 32767).astype(np.int16)


def edges(pcm: Pcm, dbfs: float = -38.0) -> tuple[int, int]:
    """First and last sample of 15 ms on end above a level: what a listener would call the speech."""
    blocks = pcm[: len(pcm) // 40 * 40].reshape(-1, 40).astype(np.float64) / 32768
    loud = 10 * np.log10((blocks**2).mean(axis=1) + 1e-12) > dbfs
    runs = np.flatnonzero(loud[:-2] & loud[1:-1] & loud[2:])
    return int(runs[0]) * 40, (int(runs[-1]) + 3) * 40


def judged(detector: VoiceDetector, pcm: Pcm, sample_rate: int = RATE, leg: int = 0) -> list[Voice]:
    """One answer per frame."""
    size = sample_rate // 50
    return [
        detector.judge([leg], pcm[None, at : at + size], [size], [sample_rate])[0]
        for at in range(0, len(pcm) - size + 1, size)
    ]


def segmented(pcm: Pcm, voices: list[Voice], settings: SegmenterSettings | None = None) -> list[SegmentEvent]:
    """The segmenter's events; frames arrive when their last sample does."""
    segmenter = SpeechSegmenter(settings or SegmenterSettings(), RATE)
    events: list[SegmentEvent] = []
    for index, voice in enumerate(voices):
        at = index * FRAME
        events += segmenter.push(AudioFrame(pcm[at : at + FRAME], RATE, at, (at + FRAME) / RATE), voice)
    return events


def tone(hertz: list[float], seconds: float, dbfs: float = -18.0) -> Pcm:
    """Sines added up."""
    time = np.arange(int(seconds * RATE)) / RATE
    sound = np.sum([np.sin(2 * np.pi * f * time) for f in hertz], axis=0)
    sound *= 10 ** (dbfs / 20) / np.sqrt(np.mean(sound**2))
    pcm: Pcm = (sound * 32767).astype(np.int16)
    return pcm


def burst(seconds: float, dbfs: float, seed: int) -> Pcm:
    """A cough, roughly: noise that starts at once and dies away."""
    count = int(seconds * RATE)
    sound = np.random.default_rng(seed).standard_normal(count) * np.exp(-4 * np.arange(count) / count)
    return (np.clip(sound * 10 ** (dbfs / 20), -1, 1) * 32767).astype(np.int16)


def scattered(sounds: list[Pcm], gap: float = 1.2) -> Pcm:
    """The sounds one after another on a line with faint noise."""
    silence = np.zeros(int(gap * RATE), np.int16)
    line = np.concatenate([silence, *[part for sound in sounds for part in (sound, silence)]])
    rng = np.random.default_rng(6)
    whole = line[: len(line) // FRAME * FRAME]
    return np.clip(whole + rng.normal(0, 20, len(whole)), -32768, 32767).astype(np.int16)
