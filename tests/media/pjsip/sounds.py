"""What the bus gateway says, and what its test expects to hear."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Pcm: TypeAlias = npt.NDArray[np.int16]

FIRST_PITCH, PITCH_STEP = 600, 500
"""Of the legs that each say a tone, in order of their media."""


def codes(seed: int, frames: int) -> bytes:
    """Random µ-law; 0x7f is left out, because it decodes to the same sample as 0xff."""
    random = np.random.default_rng(seed).integers(0, 256, 160 * frames, dtype=np.uint8)
    return bytes(np.where(random == 0x7F, 0xFE, random))


def recitation() -> bytes:
    """20 s of µ-law that differs everywhere."""
    return codes(7, 1000)


def tone(pitch: int, rate: int) -> Pcm:
    """3 s of a sine."""
    return (8000 * np.sin(2 * np.pi * pitch * np.arange(3 * rate) / rate)).astype(np.int16)


def pitch(pcm: Pcm, rate: int) -> float:
    """The strongest frequency."""
    return float(np.argmax(np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))) * rate / len(pcm))
