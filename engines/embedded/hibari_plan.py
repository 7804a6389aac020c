"""Which stretches of a passage are spoken in one go, and the pauses between them."""

from __future__ import annotations

from dataclasses import dataclass

from engines.text import SentenceSplitter, SpokenWord, spoken

_SENTENCE_PAUSE = {".": 0.24, "!": 0.24, "?": 0.28, "…": 0.32}
_CLAUSE_PAUSE = {",": 0.16, ";": 0.22, ":": 0.22, "-": 0.16}
_LINE_PAUSE = 0.24
"""After a sentence without punctuation, as in a list."""
_NO_PAUSE = 0.02
"""Between the halves of a sentence that had to be cut where no pause is."""
_LONGEST = 220
"""Spoken characters of one stretch; the voice was made for sentences, not for pages."""
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


def plan(text: str) -> list[Stretch]:
    """The passage's stretches in order; none when nothing of it can be spoken."""
    splitter = SentenceSplitter(limit=_LONGEST_SENTENCE)
    stretches: list[Stretch] = []
    for sentence in [*splitter.push(text), *splitter.flush()]:
        words = spoken(sentence)
        if words:
            stretches += _stretches(words, _pause_after(sentence), early=not stretches)
    return stretches


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


def _stretches(words: tuple[SpokenWord, ...], pause: float, *, early: bool) -> list[Stretch]:
    found: list[Stretch] = []
    limit = _EARLY_OVER if early else _LONGEST
    while _length(words) > limit:
        cut = _cut(words, first=early)
        if not cut:
            if not early:
                break
            early, limit = False, _LONGEST
            continue
        head, words = words[:cut], words[cut:]
        found.append(Stretch(head, _CLAUSE_PAUSE.get(head[-1].spoken[-1], _NO_PAUSE)))
        early, limit = False, _LONGEST
    return [*found, Stretch(words, pause)]


def _cut(words: tuple[SpokenWord, ...], *, first: bool) -> int:
    """How many words to speak first: to the first clause when hurried, else as many as fit; 0 for no cut."""
    length, best, last_fit = 0, 0, 0
    total = _length(words)
    for index, word in enumerate(words[:-1], start=1):
        length += len(word.spoken) + 1
        if length > _LONGEST:
            break
        last_fit = index
        if word.spoken[-1] in _CLAUSE_PAUSE and min(length, total - length) >= _SHORTEST_HEAD:
            if first:
                return index
            best = index
    return best or (0 if first else last_fit or 1)


def _length(words: tuple[SpokenWord, ...]) -> int:
    return sum(len(word.spoken) + 1 for word in words) if len(words) > 1 else 0
