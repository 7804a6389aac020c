"""Which words of a sentence lie before a moment of its sound, for voices that do not tell.

No recogniser listens: words take as long as their letters and syllables usually do, and a pause in the sound
belongs to the punctuation nearest to it. Silence counts for no word, so a slow voice and a quick one are read
alike. How far this is off, in words, `benchmarks/heard_words.py` measures against a voice that does tell.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from engines.text.spoken import spoken
from media.frame import Pcm

STEP = 0.01
"""Seconds of sound whose loudness is kept as one value."""
_QUIET_DB = 30.0
"""Steps so much below the loudest one are silence."""
_PAUSE = 0.09
"""Seconds of silence that can be a pause of punctuation; shorter ones are the inside of words."""
USUAL_PACE = 1.0
"""Seconds of usual speech in a second of sound between its silences."""
_LETTER, _SYLLABLE, _WORD, _LAST = 0.03, 0.021, 0.053, 0.03
"""Seconds that usual speech takes for each, the last: for a word before punctuation, which is drawn out.

Least squares over telephone prompts as the embedded voice speaks them, silences left out; a sentence takes
8 % more or less than they say.
"""
_SLACK = 0.03
"""Seconds by which a word may be unfinished and still counts as heard."""
_NEAR = 0.2
"""A pause may lie so far from its punctuation, as a share of the sentence."""
_VOWELS = re.compile(r"[aeiouyàâäéèêëîïôöùûü]+")
_ENDS = re.compile(r"[,;:.!?…—–)]+[\"'”’)]*$")


@dataclass(slots=True)
class Loudness:
    """How loud each `STEP` of a stretch of sound is; takes the place of the sound itself."""

    rate: int
    levels: list[float] = field(default_factory=list)
    _rest: Pcm = field(default_factory=lambda: np.zeros(0, np.int16))

    def add(self, pcm: Pcm) -> None:
        """More of it."""
        size = round(self.rate * STEP)
        pcm = np.concatenate([self._rest, pcm]) if len(self._rest) else pcm
        whole = len(pcm) // size
        steps = pcm[: whole * size].astype(np.float32).reshape(whole, size)
        self.levels.extend(np.sqrt(np.mean(steps * steps, axis=1)).tolist())
        self._rest = pcm[whole * size :]


def pace_of(text: str, sound: Loudness) -> float:
    """How fast this voice speaks, 1 as usual; `sound` holds the text to its end."""
    return sum(_weights(text)) / max(float(np.sum(_voiced(sound.levels))) * STEP, STEP)


def words_before(text: str, sound: Loudness, seconds: float, *, pace: float = 0.0) -> int:
    """How many blank-separated words of `text` were spoken to their end in the first `seconds`.

    `pace`: `pace_of` another sentence, where the sound does not hold this one to its end; `USUAL_PACE` where
    there is no other; 0 where it does.
    """
    weights = _weights(text)
    if not weights or not sound.levels:
        return 0
    voiced = _voiced(sound.levels)
    spent = np.cumsum(voiced) * STEP
    whole, pace = not pace, pace or pace_of(text, sound)
    at = min(len(spent), round(seconds / STEP))
    if at == 0:
        return 0
    ends = np.cumsum(weights)
    said = _anchored(text, ends, spent * pace, _pauses(voiced), whole=whole)
    return int(np.searchsorted(ends, float(said[at - 1]) + _SLACK, side="right"))


def _weights(text: str) -> list[float]:
    """How long each word takes to say, in seconds of usual speech."""
    weights: list[float] = []
    for word in spoken(text):
        parts, said = word.written.split(), word.spoken.lower()
        seconds = _LETTER * sum(c.isalpha() for c in said) + _SYLLABLE * len(_VOWELS.findall(said))
        seconds += _WORD * len(said.split()) + _LAST * bool(_ENDS.search(word.written))
        sizes = [max(1, len(part)) for part in parts]
        weights += [seconds * size / sum(sizes) for size in sizes]
    return weights


def _voiced(levels: Sequence[float]) -> np.ndarray:
    loud = np.asarray(levels)
    return loud > max(float(loud.max()) * 10 ** (-_QUIET_DB / 20), 1.0)


def _anchored(
    text: str, ends: np.ndarray, said: np.ndarray, pauses: Sequence[int], *, whole: bool
) -> np.ndarray:
    """Seconds of usual speech at each step, with every pause moved to the punctuation that it belongs to.

    From each pause that was placed the rest is laid out anew: stretched to the sentence's end where the sound
    reaches it, by the pace so far where it does not.
    """
    total, moved = float(ends[-1]), said.copy()
    places = [float(ends[i]) for i, word in enumerate(text.split()[:-1]) if _ENDS.search(word)]
    last = 0.0
    for step in pauses:
        guess = float(moved[step - 1])
        near = [place for place in places if place > last and abs(place - guess) <= _NEAR * total]
        if not near:
            continue
        place = min(near, key=lambda place: abs(place - guess))
        before, after = moved[:step], moved[step - 1 :]
        moved[:step] = np.where(
            before > last, last + (before - last) * _ratio(place - last, guess - last), before
        )
        span = float(after[-1]) - guess
        stretch = _ratio(total - place, span) if whole else 1.0
        moved[step:] = place + (moved[step:] - guess) * stretch
        last = place
    return moved


def _ratio(wanted: float, given: float) -> float:
    return wanted / given if given > 0 else 1.0


def _pauses(voiced: np.ndarray) -> list[int]:
    """Where each pause begins, in steps; the silence before the first and after the last word is none."""
    places = np.flatnonzero(voiced)
    if not len(places):
        return []
    gaps = np.diff(places)
    return [int(places[i]) + 1 for i in np.flatnonzero(gaps > round(_PAUSE / STEP))]
