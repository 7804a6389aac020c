"""Where words lie, for recognisers that do not say: an estimate from the sound that was voiced.

Words share the voiced frames of their utterance in proportion to their letters. Pauses are skipped, so an
estimate is off by a syllable or two, not by the length of a pause.
"""

from __future__ import annotations

from collections.abc import Sequence

from engines.base import Word
from media.frame import FRAME_MS

_FRAME = FRAME_MS / 1000
_EXTRA = 1
"""Letters' worth that every word lasts beyond its letters."""


def placed(text: str, voiced: Sequence[float], confidence: float) -> tuple[Word, ...]:
    """The words of `text` over `voiced`, the start times of voiced frames in seconds, oldest first."""
    words = text.split()
    if not words or not voiced:
        return ()
    weights = [len(word) + _EXTRA for word in words]
    total = sum(weights)
    found: list[Word] = []
    done = 0
    for word, weight in zip(words, weights, strict=True):
        start = _at(done / total, voiced, ends=False)
        done += weight
        found.append(Word(word, start, max(start, _at(done / total, voiced, ends=True)), confidence))
    return tuple(found)


def _at(share: float, voiced: Sequence[float], *, ends: bool) -> float:
    """The time at which so much of the voiced sound has passed; an end lies before a pause, a start after."""
    place = share * len(voiced)
    index = int(place)
    if ends and index and place == index or index >= len(voiced):
        return round(voiced[index - 1] + _FRAME, 3)
    return round(voiced[index] + (place - index) * _FRAME, 3)
