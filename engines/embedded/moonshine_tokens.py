"""Moonshine's vocabulary: token numbers to text and words, and the hot words that a call may ask for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

VOCABULARY_FILE = "tokenizer.bin"
BEGIN = 1
"""Token that opens every decode."""
END = 2
"""Token that closes it."""
_SPACE = "▁".encode()
"""What the vocabulary writes for the space before a word."""


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word as the decoder wrote it, punctuation included."""

    text: str
    confidence: float
    """0..1: the probability of its least certain token."""


class Vocabulary:
    """The model's tokens. Immutable, so every thread may use it."""

    def __init__(self, path: Path) -> None:
        """Read `tokenizer.bin`: each entry's length in one byte, or two when the first is 128 or more."""
        self._pieces = tuple(_entries(path.read_bytes()))
        self._numbers = {piece: number for number, piece in reversed(list(enumerate(self._pieces)))}

    def __len__(self) -> int:
        return len(self._pieces)

    def text(self, tokens: Iterable[int]) -> str:
        """The tokens as text, without the model's own marks."""
        raw = b"".join(self._sound_of(token) for token in tokens)
        return raw.replace(_SPACE, b" ").decode("utf-8", "ignore").strip()

    def words(self, tokens: Sequence[int], probabilities: Sequence[float]) -> list[SpokenWord]:
        """The same text word by word, each with the probability of its weakest token."""
        words: list[tuple[list[int], float]] = []
        for token, probability in zip(tokens, probabilities, strict=True):
            if not words or self._pieces[token].startswith(_SPACE):
                words.append(([token], probability))
            else:
                members, weakest = words[-1]
                words[-1] = ([*members, token], min(weakest, probability))
        spoken = (SpokenWord(self.text(members), weakest) for members, weakest in words)
        return [word for word in spoken if word.text]

    def spellings(self, word: str) -> list[list[int]]:
        """How the vocabulary writes a word, in small letters and with a capital; longest pieces first."""
        forms = dict.fromkeys((word.lower(), word.capitalize(), word))
        return [tokens for form in forms if (tokens := self._spell(_SPACE + form.encode()))]

    def _spell(self, raw: bytes) -> list[int]:
        tokens: list[int] = []
        while raw:
            size = next((size for size in range(len(raw), 0, -1) if raw[:size] in self._numbers), 0)
            if not size:
                return []
            tokens.append(self._numbers[raw[:size]])
            raw = raw[size:]
        return tokens

    def _sound_of(self, token: int) -> bytes:
        piece = self._pieces[token]
        if len(piece) > 3 and piece.startswith(b"<") and piece.endswith(b">"):
            return bytes([int(piece[3:-1], 16)]) if piece.startswith(b"<0x") else b""
        return piece


def _entries(raw: bytes) -> Iterable[bytes]:
    at = 0
    while at < len(raw):
        size = raw[at]
        at += 1
        if size >= 128:
            size += raw[at] * 128 - 128
            at += 1
        yield raw[at : at + size]
        at += size


class HotWords:
    """Raises the chance of words that a call expects: names, products, places. Immutable."""

    def __init__(self, vocabulary: Vocabulary, words: Iterable[str], boost: float) -> None:
        """`boost` is added to the logits of the words' tokens; 3 was useful, more invents the words."""
        self._boost = boost
        self._first: set[int] = set()
        self._next: dict[int, set[int]] = {}
        for phrase in words:
            for word in phrase.split():
                for tokens in vocabulary.spellings(word):
                    self._first.add(tokens[0])
                    for token, follower in zip(tokens, tokens[1:], strict=False):
                        self._next.setdefault(token, set()).add(follower)

    def apply(self, logits: npt.NDArray[np.float32], previous: int) -> None:
        """Raise, in place, the listed words' first tokens and those that go on after `previous`."""
        for token in self._first | self._next.get(previous, set()):
            logits[token] += self._boost
