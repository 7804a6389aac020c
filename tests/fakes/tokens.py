"""Models that hum, for engines that order real ones' work: no PyTorch, exact samples, scripted faults."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engines.loudness import Samples
from engines.text.stretches import Stretch

RATE = 24000
TOKEN = 1024 / 22050


@dataclass(frozen=True)
class HumPrompt:
    text: str
    tokens: int
    voice: str

    @property
    def length(self) -> int:
        return len(self.text)


def hum(samples: int, begins: int = 0) -> Samples:
    """A tone of 400 Hz at -20 dBFS RMS, without a joint wherever it is cut."""
    places = np.arange(begins, begins + samples)
    return (0.1414 * np.sin(2 * np.pi * 400 * places / RATE)).astype(np.float32)


@dataclass
class HummingTokens:
    """Two tokens for each letter of the text. A text with "broken" in it raises when it is voiced."""

    rate: int = RATE
    token: float = TOKEN
    held: float = 0.1
    languages: tuple[str, ...] = ("en", "de")
    rows: dict[int, HumPrompt] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    sent: dict[int, int] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    gate: threading.Event | None = None
    """While it is clear, steps wait: a device that is busy."""

    def longest(self, language: str) -> int:
        return 250

    def prompt(self, text: str, language: str, speaker: Any, speed: float) -> HumPrompt:
        return HumPrompt(text, max(4, round(2 * len(text) / speed)), speaker)

    def read(self, prompts: dict[int, HumPrompt]) -> tuple[int, ...]:
        self.threads.add(threading.get_ident())
        self.rows |= prompts
        for row in prompts:
            self.counts[row], self.sent[row] = 1, 0
        return ()

    def step(self, rows: Sequence[int]) -> tuple[int, ...]:
        self.threads.add(threading.get_ident())
        if self.gate is not None:
            self.gate.wait(5)
        self.batches.append(len(rows))
        for row in rows:
            self.counts[row] += 1
        return tuple(row for row in rows if self.counts[row] >= self.rows[row].tokens)

    def voice(self, rows: Sequence[int]) -> dict[int, Samples]:
        self.threads.add(threading.get_ident())
        if any("broken" in self.rows[row].text for row in rows):
            raise RuntimeError("scripted")
        made = {}
        for row in rows:
            ended = self.counts[row] >= self.rows[row].tokens
            whole = round(self.counts[row] * TOKEN * RATE)
            end = whole if ended else max(self.sent[row], whole - round(self.held * RATE))
            made[row] = hum(end - self.sent[row], self.sent[row])
            self.sent[row] = end
        return made

    def forget(self, row: int) -> None:
        for table in (self.rows, self.counts, self.sent):
            table.pop(row, None)


@dataclass(frozen=True)
class HumSentence:
    ids: tuple[int, ...]
    words: int
    text: str
    speed: float


@dataclass(frozen=True)
class Hummed:
    pcm: Samples
    spans: tuple[tuple[float, float], ...]


@dataclass
class HummingSentences:
    """A tenth of a second for each spoken word. A sentence with "broken" in it raises."""

    rate: int = RATE
    voices: tuple[str, ...] = ("anna", "bert")
    languages: tuple[str, ...] = ("en-US",)
    batches: list[list[str]] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    gate: threading.Event | None = None

    def sentence(self, stretch: Stretch, voice: str, speed: float) -> HumSentence:
        words = sum(len(word.spoken.split()) for word in stretch.words)
        return HumSentence(tuple(range(len(stretch.text))), words, stretch.text, speed)

    def speak(self, sentences: Sequence[HumSentence]) -> list[Hummed]:
        self.threads.add(threading.get_ident())
        if self.gate is not None:
            self.gate.wait(5)
        if any("broken" in sentence.text for sentence in sentences):
            raise RuntimeError("scripted")
        self.batches.append([sentence.text for sentence in sentences])
        return [self._hummed(sentence) for sentence in sentences]

    def _hummed(self, sentence: HumSentence) -> Hummed:
        each = 0.1 / sentence.speed
        spans = tuple((n * each, (n + 1) * each) for n in range(sentence.words))
        return Hummed(hum(round(sentence.words * each * RATE)), spans)
