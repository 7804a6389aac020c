"""A text that is being spoken: which samples may be heard, and with which word another voice goes on. Pure.

A word that was begun is held back until the rest of it came: should the voice stop there, the caller hears a
pause between two words, not half of one, and the next voice begins with that word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from engines.base import SpeechChunk, Word
from media.frame import Pcm, samples

USUAL_TEMPO = 15.0
"""Characters that a voice speaks in a second, as long as nothing is known of it."""
_CAUTION = 0.9
"""Without times of words: so much of what was probably said counts as said, so that no word is lost."""
_NEAR = 40
"""Characters within which the next word that a voice tells of must stand in the text."""
_MOST_HELD = 0.8
"""Seconds of a begun word that are held back."""
_FADE = 0.005
_TOKEN = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class _Placed:
    """A word of the text and its samples, counted from the passage's first."""

    start: int
    end: int
    at: int
    """Its first character in the text."""
    after: int
    """One past its last; the same as `at` for what was not found there."""
    word: Word
    """With its times counted from the passage's first sample."""


class Passage:
    """One `speak`, from its first engine to its last."""

    def __init__(self, text: str, sample_rate: int, speed: float = 1.0) -> None:
        self.text = " ".join(text.split())
        self._rate = sample_rate
        self._speed = speed
        self._given = 0
        self._base = 0
        """Samples given before the present engine's first."""
        self._from = 0
        """Character with which it began."""
        self._placed: list[_Placed] = []
        self._told = 0
        """How many of them were handed on with their samples."""
        self._held: Pcm = np.zeros(0, np.int16)

    @property
    def given(self) -> int:
        """Samples handed on so far."""
        return self._given

    @property
    def spoken(self) -> int:
        """Samples of the present engine, held ones included."""
        return self._given + len(self._held) - self._base

    def take(self, chunk: SpeechChunk) -> SpeechChunk:
        """More of the present engine's speech; returns what may be heard now, perhaps nothing."""
        for word in chunk.words:
            self._place(word)
        pcm = np.concatenate([self._held, chunk.pcm]) if len(self._held) else chunk.pcm
        keep = self._whole_until(self._given + len(pcm)) - self._given
        self._held = pcm[keep:]
        return self._give(pcm[:keep])

    def finish(self) -> SpeechChunk:
        """The present engine has spoken all: what was held back may be heard as well."""
        held, self._held = self._held, self._held[:0]
        return self._give(held, all_words=True)

    def rest(self, tempo: float = USUAL_TEMPO) -> str:
        """What another voice has still to say. `tempo`: characters a second, where no word has a time."""
        return self.text[self._next(tempo) :]

    def hand_over(self, tempo: float = USUAL_TEMPO) -> Pcm:
        """Another engine goes on with `rest`; returns samples that let the old one end without a click."""
        self._from = self._next(tempo)
        fade = min(samples(_FADE, self._rate), len(self._held))
        tail: Pcm = (self._held[:fade] * np.linspace(1.0, 0.0, fade)).astype(np.int16)
        self._given += len(tail)
        self._base = self._given
        self._held = self._held[:0]
        self._placed.clear()
        self._told = 0
        return tail

    def _give(self, pcm: Pcm, *, all_words: bool = False) -> SpeechChunk:
        self._given += len(pcm)
        first = self._told
        while self._told < len(self._placed):
            if self._placed[self._told].end > self._given and not all_words:
                break
            self._told += 1
        return SpeechChunk(pcm, tuple(placed.word for placed in self._placed[first : self._told]))

    def _place(self, word: Word) -> None:
        """Find the word in the text, after those before it."""
        begin = self._placed[-1].after if self._placed else self._from
        at = self.text.find(word.text, begin, begin + _NEAR + len(word.text)) if word.text.strip() else -1
        by = self._base / self._rate
        moved = Word(word.text, word.start + by, word.end + by, word.confidence)
        ends = (samples(moved.start, self._rate), samples(moved.end, self._rate))
        where = (at, at + len(word.text)) if at >= 0 else (begin, begin)
        self._placed.append(_Placed(*ends, *where, moved))

    def _whole_until(self, length: int) -> int:
        """How many samples hold whole words. An engine's first sound is not held back, nor much of any."""
        if self._given == self._base:
            return length
        for word in reversed(self._placed):
            if word.start < length < word.end:
                begun = max(word.start, self._given)
                return begun if length - begun <= samples(_MOST_HELD, self._rate) else length
            if word.end <= length:
                break
        return length

    def _next(self, tempo: float) -> int:
        """The character that another voice begins with."""
        if self._given <= self._base:
            return self._from
        if not self._placed:
            return self._guessed(tempo)
        for word in self._placed:
            if word.end > self._given:
                return self._token_at(word.at)
        return self._token_at(self._placed[-1].after)

    def _guessed(self, tempo: float) -> int:
        """The sound is spread over the letters."""
        seconds = (self._given - self._base) / self._rate
        said = self._from + int(seconds * tempo * self._speed * _CAUTION)
        for token in _TOKEN.finditer(self.text, self._from):
            if token.end() > said:
                return token.start()
        return len(self.text)

    def _token_at(self, at: int) -> int:
        """Where the word that holds a character begins; what holds but punctuation from there on was said."""
        for token in _TOKEN.finditer(self.text, self._from):
            left = self.text[at : token.end()] if at > token.start() else token.group()
            if token.end() > at and (at <= token.start() or any(c.isalnum() for c in left)):
                return token.start()
        return len(self.text)
