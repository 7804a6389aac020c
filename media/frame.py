"""The one audio type that crosses folders, and the arithmetic of samples and time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Pcm: TypeAlias = npt.NDArray[np.int16]
"""Mono signed 16-bit samples, shape (samples,)."""

FRAME_MS = 20
"""Every frame inside Offhook lasts this long, whatever ptime the far end uses."""


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """Twenty milliseconds of one leg's audio and its place on the stream."""

    pcm: Pcm
    """Samples, shape (sample_rate / 50,). Never written to after the frame is made."""
    sample_rate: int
    """Samples per second: 8000 or 16000."""
    pts: int
    """Index of the first sample on the leg's inbound stream; starts at 0."""
    arrived: float
    """Monotonic time, in seconds, at which the packet that carried it arrived."""
    lost: bool = False
    """True when the packet never came and the samples are concealment."""
    dtx: bool = False
    """True when nothing was sent to us: silence suppression, hold, or nobody there any more."""

    @property
    def media_time(self) -> float:
        """Seconds of stream before the frame's first sample."""
        return self.pts / self.sample_rate

    @property
    def end_pts(self) -> int:
        """Index of the sample after the frame's last one."""
        return self.pts + len(self.pcm)


class Voice(NamedTuple):
    """How much a frame sounds like somebody speaking."""

    quick: bool
    """The cheap gate's answer: at once, but it also opens on tones, clicks and coughs."""
    probability: float
    """The confirming model's answer, 0..1; without a model, the share of the last frames in which the gate
    was open."""


def samples(seconds: float, sample_rate: int) -> int:
    """Whole samples in a span of time, rounded to the nearest."""
    return round(seconds * sample_rate)


def frame_samples(sample_rate: int) -> int:
    """Samples in one frame at this rate."""
    return sample_rate * FRAME_MS // 1000
