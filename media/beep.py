"""An ear for single tones of any pitch: the beep after which one speaks, and a fax that answers. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from media.frame import FRAME_MS, AudioFrame, Pcm

_SPAN_HZ = 110.0
"""What belongs to one tone on each side of its peak, in a window of 20 ms."""
_PURE = 0.9
"""Share of a frame's power that lies within the span, for it to be one tone."""
_QUIET = 10 ** (-42 / 10)
"""Power, full scale 1, below which nothing is a tone."""
_DRIFT_HZ = 20.0
_FFT = 1024
LOWEST_HZ = 380.0
"""Below it single tones are vowels."""
_TICK = FRAME_MS / 1000
FAX_HZ = 2100.0
"""CED and ANSam of a called fax or modem (ITU-T T.30 section 4.3.3.1, V.8); its phase jumps each 450 ms."""
_FAX_WIDTH_HZ = 30.0


@dataclass(frozen=True, slots=True)
class Tone:
    """One tone that has stopped, or goes on."""

    hz: float
    seconds: float
    """How long it has lasted."""
    going_on: bool


class ToneEar:
    """Follows single tones, frame by frame."""

    def __init__(self) -> None:
        self._hz = 0.0
        self._frames = 0
        self._gap = 0

    def push(self, frame: AudioFrame) -> Tone | None:
        """The tone that sounds in this frame, or that ended with it; None when there is neither."""
        found = 0.0 if frame.lost or frame.dtx else single_tone(frame.pcm, frame.sample_rate)
        if found and self._frames and abs(found - self._hz) <= _DRIFT_HZ:
            self._frames += 1 + self._gap
            self._gap = 0
            self._hz += (found - self._hz) / self._frames
            return self._tone(going_on=True)
        if self._frames and not found and not self._gap:
            self._gap = 1  # a click, a jump of the phase, a lost packet
            return self._tone(going_on=True)
        ended = self._tone(going_on=False) if self._frames else None
        self._hz, self._frames, self._gap = found, int(found > 0), 0
        return ended

    def _tone(self, *, going_on: bool) -> Tone:
        return Tone(self._hz, self._frames * _TICK, going_on)


def single_tone(pcm: Pcm, sample_rate: int) -> float:
    """The pitch in Hz of the one tone that these samples are, 0.0 when they are anything else."""
    wave = pcm.astype(np.float64) / 32768
    wave -= wave.mean()
    if float(np.mean(wave**2)) < _QUIET:
        return 0.0
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), _FFT)) ** 2
    peak = int(np.argmax(power))
    span = max(1, round(_SPAN_HZ * _FFT / sample_rate))
    near = power[max(0, peak - span) : peak + span + 1].sum()
    if near < _PURE * power.sum():
        return 0.0
    return peak * sample_rate / _FFT


def is_fax(tone: Tone) -> bool:
    """A fax or modem answers, certain after half a second."""
    return abs(tone.hz - FAX_HZ) <= _FAX_WIDTH_HZ and tone.seconds >= 0.5


def is_beep(tone: Tone) -> bool:
    """A tone that is over, and was as long and as high as beeps are."""
    return not tone.going_on and LOWEST_HZ <= tone.hz <= 2050 and 0.14 <= tone.seconds <= 1.6
