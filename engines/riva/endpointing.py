"""Where speech begins and ends in a stream that comes without our own segmentation: pure, counts frames.

Riva's six settings keep their meaning: shares of voiced or quiet frames within windows. What a frame is,
voiced or quiet, is judged by level over the line's own noise; a worker may be given a better judge.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

import numpy as np

from media.frame import FRAME_MS, AudioFrame

_LONGEST_MS = 10_000


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """When a segment starts, when it is decoded ahead, and when it ends."""

    start_history: int = 120
    """20..10000 ms: the window in which speech must show."""
    start_threshold: float = 0.5
    """Above 0, to 1: share of voiced frames in that window that starts a segment."""
    stop_history: int = 800
    """20..10000 ms: the window in which quiet must show."""
    stop_threshold: float = 0.98
    """Above 0, to 1: share of quiet frames in that window that ends the segment."""
    stop_history_eou: int = 240
    """20..`stop_history` ms: the window for the first pass, which decodes ahead; 0: no first pass."""
    stop_threshold_eou: float = 0.98
    """Above 0, to 1: share of quiet frames in that window that makes the first pass."""
    preroll: int = 400
    """0..2000 ms: sound before the start that belongs to the segment."""

    def __post_init__(self) -> None:
        for name in ("start_history", "stop_history"):
            if not FRAME_MS <= getattr(self, name) <= _LONGEST_MS:
                raise ValueError(f"{name}: give {FRAME_MS} to {_LONGEST_MS} ms")
        if self.stop_history_eou and not FRAME_MS <= self.stop_history_eou <= self.stop_history:
            raise ValueError(f"stop_history_eou: give {FRAME_MS} ms to stop_history ({self.stop_history} ms)")
        for name in ("start_threshold", "stop_threshold", "stop_threshold_eou"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ValueError(f"{name}: give a share above 0 and up to 1")
        if not 0 <= self.preroll <= 2000:
            raise ValueError("preroll: give 0 to 2000 ms")


class VoiceJudge(Protocol):
    """Tells voice from everything else, one frame after the other of one stream."""

    def voiced(self, frame: AudioFrame) -> bool:
        """Does somebody speak in this frame?"""


class LevelJudge:
    """Voice is what stands out of the line's own noise. Knows nothing of what it hears."""

    LOUD_ENOUGH = -48.0
    """dBFS below which nothing is voice."""
    OVER_NOISE = 9.0
    """dB above the noise."""
    QUIETEST = -60.0
    """dBFS taken for noise on a line that is digitally silent."""
    RISE = 2.0 * FRAME_MS / 1000
    """dB per frame by which the noise is thought to grow: steady hum is noise after a few seconds."""

    def __init__(self) -> None:
        self._noise = self.QUIETEST

    def voiced(self, frame: AudioFrame) -> bool:
        """See `VoiceJudge`."""
        sound = frame.pcm.astype(np.float32)
        level = 10.0 * float(np.log10(np.dot(sound, sound) / (len(sound) * 32768.0**2) + 1e-10))
        loud = level > max(self.LOUD_ENOUGH, self._noise + self.OVER_NOISE)
        self._noise = max(self.QUIETEST, min(level, self._noise + self.RISE))
        return loud


class Step(Enum):
    """What became known with a frame."""

    START = auto()
    """A segment begins with the frames of `Endpointer.preroll`, this one last."""
    PAUSE = auto()
    """First pass: it may be over."""
    RESUME = auto()
    """It was not."""
    END = auto()
    """It is over; this frame is its last."""


class _Window:
    """The newest frames' answers, and how many of them said yes."""

    def __init__(self, ms: int) -> None:
        self._size = -(-ms // FRAME_MS)
        self._answers: deque[bool] = deque(maxlen=self._size)
        self._yes = 0

    def push(self, answer: bool) -> float:
        """Share of yes in the full window; 0 while it is not full."""
        if len(self._answers) == self._size:
            self._yes -= self._answers[0]
        self._answers.append(answer)
        self._yes += answer
        return self._yes / self._size if len(self._answers) == self._size else 0.0

    def clear(self) -> None:
        self._answers.clear()
        self._yes = 0


class Endpointer:
    """One stream's segments. Push every frame; act on the step it returns."""

    def __init__(self, settings: EndpointSettings, judge: VoiceJudge) -> None:
        self._settings = settings
        self._judge = judge
        kept = (settings.preroll + settings.start_history) // FRAME_MS + 1
        self._kept: deque[AudioFrame] = deque(maxlen=kept)
        self._start = _Window(settings.start_history)
        self._stop = _Window(settings.stop_history)
        self._eou = _Window(settings.stop_history_eou or settings.stop_history)
        self._speaking = False
        self._paused = False

    @property
    def speaking(self) -> bool:
        """Between `START` and `END`."""
        return self._speaking

    def push(self, frame: AudioFrame) -> Step | None:
        """Take the next frame."""
        voiced = self._judge.voiced(frame)
        if self._speaking:
            return self._follow(voiced)
        self._kept.append(frame)
        if self._start.push(voiced) < self._settings.start_threshold:
            return None
        self._speaking = True
        self._paused = False
        self._stop.clear()
        self._eou.clear()
        return Step.START

    def preroll(self) -> list[AudioFrame]:
        """Right after `START`: the segment's frames so far."""
        frames = list(self._kept)
        self._kept.clear()
        return frames

    def _follow(self, voiced: bool) -> Step | None:
        quiet = self._eou.push(not voiced)
        if self._stop.push(not voiced) >= self._settings.stop_threshold:
            self._speaking = False
            self._start.clear()
            return Step.END
        paused = bool(self._settings.stop_history_eou) and quiet >= self._settings.stop_threshold_eou
        if paused == self._paused:
            return None
        self._paused = paused
        return Step.PAUSE if paused else Step.RESUME
