"""Which stretches of a passage are spoken in one go, and the pauses between them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from engines.text.sentences import SentenceSplitter
from engines.text.spoken import SpokenWord, spoken

Reader: TypeAlias = Callable[[str], tuple[SpokenWord, ...]]
"""From a sentence as written to its words as they are said."""

_SENTENCE_PAUSE = {".": 0.24, "!": 0.24, "?": 0.28, "…": 0.32}
_CLAUSE_PAUSE = {",": 0.16, ";": 0.22, ":": 0.22, "-": 0.16}
_LINE_PAUSE = 0.24
"""After a sentence without punctuation, as in a list."""
_NO_PAUSE = 0.02
"""Between the halves of a sentence that had to be cut where no pause is."""
LONGEST = 220
"""Spoken characters of one stretch; voices are made for sentences, not for pages."""
_LONGEST_SENTENCE = 1000
"""Written characters read as one; the reading's cost grows faster than its length."""
_EARLY_OVER = 90
"""A first sentence longer than this is cut at a clause, so that its beginning is heard earlier."""
_SHORTEST_HEAD = 16


@dataclass(frozen=True, slots=True)
class Stretch:
    """Words spoken with one breath."""

    words: tuple[SpokenWord, ...]
    pause: float
    """Silence after it, in seconds at normal speed."""

    @property
    def text(self) -> str:
        """What the voice is given; always ends in punctuation, which shapes the melody of the end."""
        text = " ".join(word.spoken for word in self.words)
        return text if text[-1] in ".!?…,;:" else text + ("," if self.pause < _LINE_PAUSE else ".")


def plan(text: str, read: Reader = spoken, longest: int = LONGEST) -> list[Stretch]:
    """The passage's stretches in order; none when nothing of it can be spoken.

    `longest`: spoken characters of one stretch, 40 or more; only a word without any break may exceed it.
    """
    splitter = SentenceSplitter(limit=_LONGEST_SENTENCE)
    stretches: list[Stretch] = []
    for sentence in [*splitter.push(text), *splitter.flush()]:
        words = read(sentence)
        if words:
            stretches += _stretches(words, _pause_after(sentence), longest, early=not stretches)
    return stretches


def as_written(text: str) -> tuple[SpokenWord, ...]:
    """Words said as they are written, for languages whose figures and signs the voice reads itself."""
    return tuple(SpokenWord(word, word) for word in text.split() if any(map(_says_something, word)))


def _says_something(char: str) -> bool:
    """Letters and figures, and signs that are read as words ("€", "+")."""
    return char.isalnum() or unicodedata.category(char) in ("Sc", "Sm")


def _pause_after(sentence: str) -> float:
    """By the last punctuation as written, since readings may swallow it ("5 p.m.")."""
    for char in reversed(sentence):
        if char.isalnum():
            break
        if char in _SENTENCE_PAUSE:
            return _SENTENCE_PAUSE[char]
        if char in _CLAUSE_PAUSE:
            return _CLAUSE_PAUSE[char]
    return _LINE_PAUSE


def _stretches(words: tuple[SpokenWord, ...], pause: float, longest: int, *, early: bool) -> list[Stretch]:
    found: list[Stretch] = []
    limit = min(_EARLY_OVER, longest) if early else longest
    while _length(words) > limit:
        cut = _cut(words, longest, first=early)
        if not cut:
            if not early:
                break
            early, limit = False, longest
            continue
        head, words = words[:cut], words[cut:]
        found.append(Stretch(head, _CLAUSE_PAUSE.get(head[-1].spoken[-1], _NO_PAUSE)))
        early, limit = False, longest
    return [*found, Stretch(words, pause)]


def _cut(words: tuple[SpokenWord, ...], longest: int, *, first: bool) -> int:
    """How many words to speak first: to the first clause when hurried, else as many as fit; 0 for no cut."""
    length, best, last_fit = 0, 0, 0
    total = _length(words)
    for index, word in enumerate(words[:-1], start=1):
        length += len(word.spoken) + 1
        if length > longest:
            break
        last_fit = index
        if word.spoken[-1] in _CLAUSE_PAUSE and min(length, total - length) >= _SHORTEST_HEAD:
            if first:
                return index
            best = index
    return best or (0 if first else last_fit or 1)


def _length(words: tuple[SpokenWord, ...]) -> int:
    return sum(len(word.spoken) + 1 for word in words) if len(words) > 1 else 0
