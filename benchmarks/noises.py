"""What a telephone line carries that is not speech: the sounds that must not stop a reply."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from callers.g711 import Pcm
from callers.speech import RATE

Wave = npt.NDArray[np.float64]

_KEYS = {
    "1": (697, 1209),
    "2": (697, 1336),
    "5": (770, 1336),
    "7": (852, 1209),
    "9": (852, 1477),
    "#": (941, 1477),
}


def line_noise(seconds: float, random: np.random.Generator) -> Pcm:
    """Pink noise at -45 dBFS with hum of 60 Hz and its third harmonic: a poor analogue line."""
    samples = round(seconds * RATE)
    spectrum = np.fft.rfft(random.standard_normal(samples))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    pink = np.fft.irfft(spectrum, samples)
    hum = _tone(samples, 60) + 0.5 * _tone(samples, 180)
    return _at(pink / pink.std() + 0.4 * hum, -45.0)


def ringback(seconds: float, random: np.random.Generator) -> Pcm:
    """North American ringing tone: 440 and 480 Hz, two seconds on, four off, at -19 dBFS."""
    samples = round(seconds * RATE)
    on = (np.arange(samples) / RATE + random.uniform(0, 4)) % 6 < 2
    return _at((_tone(samples, 440) + _tone(samples, 480)) * on, -19.0, on)


def keys(seconds: float, random: np.random.Generator) -> Pcm:
    """Keypad tones of 120 ms at -14 dBFS, two or three a second in groups."""
    out = np.zeros(round(seconds * RATE))
    at = 0.5
    while at < seconds - 1:
        for _ in range(random.integers(2, 6)):
            low, high = _KEYS[str(random.choice(list(_KEYS)))]
            burst = _tone(round(0.12 * RATE), low) + _tone(round(0.12 * RATE), high)
            begin = round(at * RATE)
            out[begin : begin + len(burst)] += burst[: max(0, len(out) - begin)]
            at += random.uniform(0.3, 0.45)
        at += random.uniform(2.0, 4.0)
    return _at(out, -14.0, out != 0)


def coughs(seconds: float, random: np.random.Generator) -> Pcm:
    """One or two bursts of shaped noise of 150 to 350 ms, every three to six seconds, at -18 dBFS."""
    out = np.zeros(round(seconds * RATE))
    at = 1.0
    while at < seconds - 1:
        for _ in range(random.integers(1, 3)):
            burst = _cough(random.uniform(0.15, 0.35), random)
            begin = round(at * RATE)
            out[begin : begin + len(burst)] += burst[: max(0, len(out) - begin)]
            at += random.uniform(0.35, 0.6)
        at += random.uniform(3.0, 6.0)
    return _at(out, -18.0, out != 0)


NOISES: dict[str, Callable[[float, np.random.Generator], Pcm]] = {
    "line noise": line_noise,
    "ringback": ringback,
    "DTMF": keys,
    "coughs": coughs,
}


def _cough(seconds: float, random: np.random.Generator) -> Wave:
    """A sharp opening, a rough body around 500 to 1500 Hz, a fading tail."""
    samples = round(seconds * RATE)
    spectrum = np.fft.rfft(random.standard_normal(samples))
    hertz = np.fft.rfftfreq(samples, 1 / RATE)
    spectrum *= np.exp(-(((hertz - 900) / 700) ** 2)) + 0.2
    time = np.arange(samples) / RATE
    envelope = np.minimum(time / 0.008, 1.0) * np.exp(-time / (seconds / 3))
    burst: Wave = np.fft.irfft(spectrum, samples) * envelope
    burst /= np.abs(burst).max()
    return burst


def _tone(samples: int, hertz: float) -> Wave:
    wave: Wave = np.sin(2 * np.pi * hertz * np.arange(samples) / RATE)
    return wave


def _at(wave: Wave, dbfs: float, active: npt.NDArray[np.bool_] | None = None) -> Pcm:
    """The wave at a level, measured where it is active."""
    part = wave[active] if active is not None else wave
    level = np.sqrt(np.mean(part * part))
    scaled = wave / level * 10 ** (dbfs / 20) * 32768
    pcm: Pcm = np.clip(scaled, -32767, 32767).astype(np.int16)
    return pcm
