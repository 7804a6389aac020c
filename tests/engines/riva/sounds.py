"""Recorded speech for these tests."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from media.frame import Pcm

SPEECH = Path("tests/data/speech")


def recorded(name: str) -> Pcm:
    """A prompt at 8 kHz."""
    with wave.open(str(SPEECH / name)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)
