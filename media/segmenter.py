"""Cuts a leg's sound into stretches of speech: pure, counts samples, knows no clock.

Two steps up, one step down. The gate's first opening is a suspicion, good enough to lower our own voice; the
confirming model's answer makes it speech, good enough to fall silent. The model answers late on both edges,
so the true first and last voiced samples are looked up in the sound's energy.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from media.frame import AudioFrame, Voice

BLOCK_MS = 5
"""Edges are found to this grain."""


@dataclass(frozen=True, slots=True)
class SegmenterSettings:
    """How much voice makes speech, and how much quiet ends it."""

    threshold: float = 0.5
    """0..1: probability from which a frame counts as voice."""
    certain: float = 0.65
    """threshold..1: probability at which one frame is enough."""
    release: float = 0.35
    """0..threshold: inside speech, probability below which a frame no longer counts as voice."""
    confirm_ms: int = 60
    """0..500: voice on end that makes speech where no frame was certain."""
    hangover_ms: int = 200
    """50..2000: quiet that ends speech, counted from the last voiced sample."""
    settle_ms: int = 40
    """0..hangover_ms: the model itself must have answered "no voice" for so long before speech ends."""
    preroll_ms: int = 400
    """0..1000: sound before the onset that belongs to the segment, so that no first consonant is lost."""
    suspect_ms: int = 20
    """0..200: how long the gate must be open to raise a suspicion."""
    dismiss_ms: int = 240
    """20..2000: a suspicion not confirmed within this time is dismissed."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.release <= self.threshold <= self.certain <= 1.0:
            raise ValueError("segmenter: must hold 0 <= release <= threshold <= certain <= 1")
        for name, low, high in (
            ("confirm_ms", 0, 500),
            ("hangover_ms", 50, 2000),
            ("settle_ms", 0, self.hangover_ms),
            ("preroll_ms", 0, 1000),
            ("suspect_ms", 0, 200),
            ("dismiss_ms", 20, 2000),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"segmenter.{name}: must be between {low} and {high} ms")


@dataclass(frozen=True, slots=True)
class VoiceSuspected:
    """Somebody may have begun to speak: lower our own voice."""

    pts: int
    """First sample of the frame that raised the suspicion."""
    at: float
    """When that frame arrived."""


@dataclass(frozen=True, slots=True)
class VoiceDismissed:
    """The last suspicion was wrong: raise our voice again."""

    pts: int
    at: float


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Somebody speaks. Always follows a `SpeechEnded`, or is the first."""

    pts: int
    """First sample of the frame that confirmed it."""
    at: float
    """When that frame arrived."""
    onset_pts: int
    """The first voiced sample, by energy; at or before `pts` + one frame."""
    onset_at: float
    """When that sample arrived, reckoned back from its frame's arrival."""


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """They fell silent. Always follows a `SpeechStarted`."""

    pts: int
    """First sample of the frame that ran out the hangover."""
    at: float
    """When that frame arrived."""
    speech_end_pts: int
    """The sample after the last voiced one, by energy."""
    speech_end_at: float
    """When that sample arrived: the ledger's true end of speech."""


SegmentEvent: TypeAlias = VoiceSuspected | VoiceDismissed | SpeechStarted | SpeechEnded


class SpeechSegmenter:
    """One leg's segments. Push every frame with its judgement; act on the events in order."""

    LOOK_BACK_MS = 300
    """The onset is sought at most so far before the frame that confirmed it."""
    GAP_MS = 50
    """A quieter stretch than this separates the onset from an earlier noise."""
    CLOSED_MS = 80
    """The gate must be shut for so long before it may raise, or keep, a suspicion."""
    QUIETEST = 10.0 ** (-50 / 10)
    """Power below which nothing counts as voiced: -50 dBFS."""
    OVER_FLOOR = 10.0 ** (8 / 10)
    """Voiced sound is 8 dB above the noise before it ..."""
    UNDER_PEAK = 10.0 ** (-25 / 10)
    """... and no more than 25 dB below the segment's loudest."""
    SURELY_VOICED = 10.0 ** (-12 / 10)
    """Within 12 dB of the loudest is voiced whatever came before, which may have been speech itself."""

    def __init__(self, settings: SegmenterSettings, sample_rate: int) -> None:
        self._settings = settings
        self._rate = sample_rate
        self._block = self._samples(BLOCK_MS)
        self._kept = self._samples(settings.preroll_ms + self.LOOK_BACK_MS + settings.confirm_ms)
        self._history: deque[AudioFrame] = deque()
        self._first_pts = 0
        self._speaking = False
        self._sure = 0
        self._opened = False
        self._open = 0
        self._shut = 0
        self._suspected: int | None = None
        self._refused = False
        self._quietest = self.QUIETEST
        self._peak = 0.0
        self._last_voiced = 0
        self._last_voiced_at = 0.0
        self._last_sure = 0

    @property
    def speaking(self) -> bool:
        """Between `SpeechStarted` and `SpeechEnded`."""
        return self._speaking

    def push(self, frame: AudioFrame, voice: Voice) -> list[SegmentEvent]:
        """Take the next frame; returns what it made known, oldest first."""
        self._remember(frame)
        self._count_sure(frame, voice)
        if self._speaking:
            return self._follow(frame, voice)
        if voice.probability >= self._settings.certain or self._sustained():
            return [self._start(frame)]
        return self._suspect(frame, voice)

    def preroll(self) -> list[AudioFrame]:
        """Right after `SpeechStarted`: the frames of the segment before the one just pushed, oldest first."""
        return [frame for frame in self._history if frame.end_pts > self._first_pts][:-1]

    def _remember(self, frame: AudioFrame) -> None:
        self._history.append(frame)
        while self._history[0].end_pts + self._kept < frame.pts:
            self._history.popleft()

    def _count_sure(self, frame: AudioFrame, voice: Voice) -> None:
        if voice.probability >= self._settings.threshold:
            self._sure += len(frame.pcm)
            self._opened = self._opened or voice.quick
        else:
            self._sure, self._opened = 0, False

    def _sustained(self) -> bool:
        """Voice on end, and the gate saw some of it: alone, the model half believes noise that sets in."""
        enough = self._sure >= self._samples(self._settings.confirm_ms)
        return self._sure > 0 and enough and self._opened

    def _suspect(self, frame: AudioFrame, voice: Voice) -> list[SegmentEvent]:
        """The gate's part, while nothing is confirmed."""
        self._open = self._open + len(frame.pcm) if voice.quick else 0
        self._shut = 0 if voice.quick else self._shut + len(frame.pcm)
        shut = self._shut >= self._samples(self.CLOSED_MS)
        if self._suspected is not None:
            late = frame.end_pts - self._suspected >= self._samples(self._settings.dismiss_ms)
            if not (late or shut):
                return []
            self._suspected = None
            self._refused = not shut
            return [VoiceDismissed(frame.pts, frame.arrived)]
        self._refused = self._refused and not shut
        if not voice.quick or self._refused or self._open < self._samples(self._settings.suspect_ms):
            return []
        self._suspected = frame.pts
        return [VoiceSuspected(frame.pts, frame.arrived)]

    def _start(self, frame: AudioFrame) -> SpeechStarted:
        onset = self._find_onset(frame)
        self._first_pts = onset - self._samples(self._settings.preroll_ms)
        self._speaking = True
        self._suspected = None
        self._refused = False
        self._open = self._shut = 0
        self._last_voiced = self._last_sure = frame.end_pts
        self._last_voiced_at = frame.arrived
        return SpeechStarted(frame.pts, frame.arrived, onset, self._arrival(frame, onset))

    def _follow(self, frame: AudioFrame, voice: Voice) -> list[SegmentEvent]:
        """Inside speech: move its end along, until the quiet has lasted."""
        if voice.probability >= self._settings.threshold:
            self._last_sure = frame.end_pts
        if voice.probability >= self._settings.release:
            self._move_end(frame)
        quiet = frame.end_pts - self._last_voiced
        doubt = frame.end_pts - self._last_sure
        if quiet < self._samples(self._settings.hangover_ms):
            return []
        if doubt < self._samples(self._settings.settle_ms):
            return []
        self._speaking = False
        return [SpeechEnded(frame.pts, frame.arrived, self._last_voiced, self._last_voiced_at)]

    def _move_end(self, frame: AudioFrame) -> None:
        powers = self._powers([frame])
        self._peak = max(self._peak, float(powers.max()))
        quietest = max(self.QUIETEST, min(self._quietest, self._peak * self.SURELY_VOICED))
        voiced = np.flatnonzero(powers > max(quietest, self._peak * self.UNDER_PEAK))
        if len(voiced):
            self._last_voiced = min(frame.pts + (int(voiced[-1]) + 1) * self._block, frame.end_pts)
            self._last_voiced_at = self._arrival(frame, self._last_voiced)

    def _find_onset(self, frame: AudioFrame) -> int:
        """The first sample of the loud stretch that ends here; also sets what counts as loud from now on."""
        frames = list(self._history)
        powers = self._powers(frames)
        starts = np.concatenate([np.arange(f.pts, f.end_pts, self._block) for f in frames])
        near = starts >= frame.end_pts - self._samples(self.LOOK_BACK_MS)
        self._peak = float(powers[near].max())
        self._quietest = max(self.QUIETEST, float(np.percentile(powers, 20)) * self.OVER_FLOOR)
        loud = starts[near & (powers > max(self._quietest, self._peak * self.UNDER_PEAK))]
        if not len(loud):
            return frame.pts
        joints = np.flatnonzero(np.diff(loud) > self._samples(self.GAP_MS))
        return int(loud[joints[-1] + 1] if len(joints) else loud[0])

    def _powers(self, frames: list[AudioFrame]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """Mean square of each block, full scale = 1."""
        sound = np.concatenate([frame.pcm for frame in frames]).astype(np.float32)
        blocks = sound.reshape(-1, self._block)
        powers: np.ndarray[tuple[int], np.dtype[np.float32]] = np.einsum("bs,bs->b", blocks, blocks)
        return powers / np.float32(self._block * 32768.0**2)

    def _arrival(self, frame: AudioFrame, pts: int) -> float:
        return frame.arrived - (frame.end_pts - pts) / self._rate

    def _samples(self, ms: int) -> int:
        return ms * self._rate // 1000
