"""Sounds of a telephone line that are no voice, by the hour, through µ-law; seeded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from callers.g711 import ulaw_decode, ulaw_encode
from media.frame import Pcm

RATE = 8000
Sound = npt.NDArray[np.float64]
Rng = np.random.Generator


def through_ulaw(sound: Sound) -> Pcm:
    """What arrives of it."""
    return ulaw_decode(ulaw_encode(np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)))


def scaled(sound: Sound, dbfs: float, by: Sound) -> Sound:
    """The sound, so loud that `by` has this level."""
    return sound * float(10 ** (dbfs / 20) / np.sqrt(np.mean(by**2)))


def white(count: int, dbfs: float, rng: Rng) -> Sound:
    return rng.standard_normal(count) * 10 ** (dbfs / 20)


def pink(count: int, dbfs: float, rng: Rng) -> Sound:
    spectrum = np.fft.rfft(rng.standard_normal(count))
    sound: Sound = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), count)
    return scaled(sound, dbfs, sound)


def sines(count: int, hertz: tuple[float, ...], dbfs: float) -> Sound:
    time = np.arange(count) / RATE
    sound: Sound = np.sum([np.sin(2 * np.pi * f * time) for f in hertz], axis=0)
    return scaled(sound, dbfs, sound)


def cadence(count: int, hertz: tuple[float, ...], on: float, off: float, rng: Rng) -> Sound:
    place = (np.arange(count) + rng.integers(0, 8 * RATE)) % int((on + off) * RATE)
    return sines(count, hertz, -18) * (place < on * RATE)


def hum(count: int, mains: float, rng: Rng) -> Sound:
    parts = [sines(count, (mains * order,), -30 - 4 * order) for order in (1, 2, 3, 4, 5, 7)]
    total: Sound = np.sum(parts, axis=0)
    return total + white(count, -55, rng)


def scattered(count: int, low: float, high: float, one: Callable[[Rng], Sound], rng: Rng) -> Sound:
    """Sounds with `low` to `high` seconds between them."""
    line = np.zeros(count)
    at = int(rng.uniform(low, high) * RATE)
    while True:
        sound = one(rng)
        if at + len(sound) >= count:
            return line
        line[at : at + len(sound)] += sound
        at += len(sound) + int(rng.uniform(low, high) * RATE)


def key(rng: Rng) -> Sound:
    pair = (float(rng.choice([697, 770, 852, 941])), float(rng.choice([1209, 1336, 1477, 1633])))
    return sines(int(rng.uniform(0.05, 0.25) * RATE), pair, rng.uniform(-24, -10))


def click(rng: Rng) -> Sound:
    count = int(rng.uniform(0.001, 0.01) * RATE)
    return rng.standard_normal(count) * np.exp(-np.arange(count) / 15) * 10 ** (rng.uniform(-20, -3) / 20)


def cough(rng: Rng) -> Sound:
    """A burst with a random formant-like colour that dies away, and sometimes a second, weaker push."""
    count = int(rng.uniform(0.1, 0.4) * RATE)
    time = np.arange(count) / RATE
    shape = np.minimum(1, time / 0.005) * np.exp(-time / rng.uniform(0.03, 0.15))
    shape += rng.uniform(0, 0.4) * np.exp(-(((time - 0.75 * time[-1]) / (0.12 * time[-1])) ** 2))
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    colour = 0.3 * np.ones(len(hertz))
    for low, high in ((500, 900), (1200, 2000), (2300, 3200)):
        colour += np.exp(-(((hertz - rng.uniform(low, high)) / 200) ** 2))
    sound: Sound = np.fft.irfft(spectrum * colour, count) * shape
    return scaled(sound, rng.uniform(-32, -14), sound[: count // 2])


KINDS: dict[str, Callable[[int, Rng], Sound]] = {
    "white -60 dBFS": lambda n, rng: white(n, -60, rng),
    "pink -45 dBFS": lambda n, rng: pink(n, -45, rng),
    "pink -35 dBFS": lambda n, rng: pink(n, -35, rng),
    "hum 50 Hz": lambda n, rng: hum(n, 50, rng),
    "hum 60 Hz": lambda n, rng: hum(n, 60, rng),
    "ringback 440+480": lambda n, rng: cadence(n, (440, 480), 2, 4, rng),
    "ringback 425": lambda n, rng: cadence(n, (425,), 1, 4, rng),
    "ringback 400+450": lambda n, rng: cadence(n, (400, 450), 0.4, 0.2, rng),
    "busy 480+620": lambda n, rng: cadence(n, (480, 620), 0.5, 0.5, rng),
    "fax 1100": lambda n, rng: cadence(n, (1100,), 0.5, 3, rng),
    "DTMF": lambda n, rng: scattered(n, 0.05, 1.0, key, rng),
    "clicks": lambda n, rng: scattered(n, 0.1, 2.0, click, rng),
    "coughs": lambda n, rng: scattered(n, 1.0, 5.0, cough, rng),
    "coughs in pink -50 dBFS": lambda n, rng: scattered(n, 1.0, 5.0, cough, rng) + pink(n, -50, rng),
}
