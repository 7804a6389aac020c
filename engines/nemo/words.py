"""Pieces of words as the model writes them, into words with their times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engines.base import Transcript, Word

BEGINS = "▁"
"""In front of a piece that begins a word, as SentencePiece has it."""
_MARKS = ".,?!;:"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece that the model wrote, and when."""

    id: int
    frame: int
    """Output frame of the utterance, from 0."""
    confidence: float
    """0..1."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The model's pieces by id, in SentencePiece's manner; "" for those that are not written."""

    pieces: tuple[str, ...]

    @classmethod
    def of(cls, raw: Sequence[str]) -> Vocabulary:
        """From a tokenizer's pieces: SentencePiece's, WordPiece's (`##` continues) or single characters."""
        if any(piece.startswith("##") for piece in raw):
            return cls(tuple(_word_piece(piece) for piece in raw))
        return cls(tuple(_sentence_piece(piece) for piece in raw))

    @property
    def punctuated(self) -> bool:
        """Whether the model writes punctuation."""
        return any(mark in self.pieces or BEGINS + mark in self.pieces for mark in ".?,")


def _sentence_piece(piece: str) -> str:
    if _is_control(piece):
        return ""
    return BEGINS + piece[1:] if piece.startswith(" ") else piece


def _word_piece(piece: str) -> str:
    if _is_control(piece) or (piece.startswith("[") and piece.endswith("]")):
        return ""
    return piece[2:] if piece.startswith("##") else BEGINS + piece


def _is_control(piece: str) -> bool:
    """Such as `<unk>` and `<EOU>`."""
    return len(piece) > 2 and piece.startswith("<") and piece.endswith(">")


@dataclass(slots=True)
class _Word:
    text: str
    first: int
    last: int
    confidences: list[float]


class Script:
    """The words of one utterance so far. They only ever grow at the end."""

    def __init__(self, vocabulary: Vocabulary, output_seconds: float) -> None:
        self._vocabulary = vocabulary
        self._seconds = output_seconds
        self._words: list[_Word] = []
        self._fresh = True
        """The next piece begins a word."""

    def add(self, tokens: Iterable[Token]) -> None:
        """Write on."""
        for token in tokens:
            piece = self._vocabulary.pieces[token.id]
            if piece.startswith(BEGINS):
                piece, self._fresh = piece[1:], True
            if piece:
                self._write(piece, token)

    def with_more(self, tokens: Iterable[Token]) -> Script:
        """As it would be with these; this one stays as it is."""
        longer = Script(self._vocabulary, self._seconds)
        longer._fresh = self._fresh
        # Only the last word can still change, so it alone is copied.
        longer._words = self._words[:-1] + [
            _Word(word.text, word.first, word.last, list(word.confidences)) for word in self._words[-1:]
        ]
        longer.add(tokens)
        return longer

    def transcript(self, segment: int, *, is_final: bool, early: bool = False) -> Transcript:
        """What is to be told. Words but the last are stable, since more can only be added to that one."""
        words = tuple(self._word(word) for word in self._words)
        text = " ".join(word.text for word in words)
        stable = len(text) if is_final else max(0, text.rfind(" "))
        confidence = sum(word.confidence for word in words) / len(words) if words else 0.0
        return Transcript(segment, text, is_final, confidence, 0 if early else stable, words, early)

    def _write(self, piece: str, token: Token) -> None:
        alone = all(sign in _MARKS for sign in piece)
        if self._words and (alone or not self._fresh):
            word = self._words[-1]
            word.text += piece
            word.confidences.append(token.confidence)
            if not alone:  # a mark is written when the word is long over
                word.last = token.frame
        else:
            self._words.append(_Word(piece, token.frame, token.frame, [token.confidence]))
        self._fresh = False

    def _word(self, word: _Word) -> Word:
        confidence = sum(word.confidences) / len(word.confidences)
        return Word(word.text, word.first * self._seconds, (word.last + 1) * self._seconds, confidence)
