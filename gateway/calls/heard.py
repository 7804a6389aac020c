"""What the caller really heard of a reply: from the samples that were sent, cut at the word."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import mean

from engines.base import Word
from gateway.calls.alignment import USUAL_PACE, Loudness, pace_of, words_before
from media.frame import Pcm


@dataclass(slots=True)
class _Spoken:
    """One sentence as it was queued."""

    text: str
    index: int | None
    """Its place in the reply's text; None for a filler, which the agent never said."""
    start: int
    samples: int = 0
    finished: bool = False
    """The voice spoke it to its end."""
    words: list[Word] = field(default_factory=list)
    sound: Loudness = field(default_factory=lambda: Loudness(8000))
    """Kept of a voice that does not time its words."""


@dataclass(frozen=True, slots=True)
class Heard:
    """How far the caller got."""

    text: str
    """The agent's words that were sent, whole ones only."""
    next_index: int
    """The first sentence of the reply that was not heard to its end."""


class HeardTracker:
    """Follows one reply on its way into the playout. Fed in the order of writing; asked at any position."""

    def __init__(self, sample_rate: int, first_index: int = 0) -> None:
        """`first_index`: the sentence it starts with, when an interrupted reply goes on."""
        self._rate = sample_rate
        self._first = first_index
        self._spoken: list[_Spoken] = []
        self._written = 0
        self._paces: list[float] = []
        """Of the sentences that the voice spoke to their end."""

    @property
    def written(self) -> int:
        """Samples queued so far."""
        return self._written

    def begin(self, text: str, index: int | None) -> None:
        """The samples that follow speak this sentence."""
        self._spoken.append(_Spoken(text, index, self._written, sound=Loudness(self._rate)))

    def words(self, words: tuple[Word, ...]) -> None:
        """Where the sentence's words lie, as far as the voice knows it."""
        self._spoken[-1].words.extend(words)

    def wrote(self, pcm: Pcm) -> None:
        """More samples of the sentence were queued."""
        sentence = self._spoken[-1]
        sentence.samples += len(pcm)
        self._written += len(pcm)
        if not sentence.words:
            sentence.sound.add(pcm)

    def end(self) -> None:
        """The sentence was spoken to its end."""
        sentence = self._spoken[-1]
        sentence.finished = True
        if sentence.sound.levels and not sentence.words:
            self._paces.append(pace_of(sentence.text, sentence.sound))

    def at(self, position: int) -> Heard:
        """What was heard when so many samples had been sent."""
        heard: list[str] = []
        next_index = self._first
        for sentence in self._spoken:
            if sentence.index is None:
                continue
            whole = sentence.finished and sentence.start + sentence.samples <= position
            heard.append(sentence.text if whole else self._partly(sentence, position))
            if not whole:
                break
            next_index = sentence.index + 1
        return Heard(" ".join(text for text in heard if text), next_index)

    def _partly(self, sentence: _Spoken, position: int) -> str:
        """The words of a sentence that was cut; a word counts when it was heard to its end."""
        sent = position - sentence.start
        if sent <= 0 or not sentence.samples:
            return ""
        written = sentence.text.split()
        if sentence.words:  # the voice may read "42" as two words: go by the fraction that was spoken
            said = sum(round(word.end * self._rate) <= sent for word in sentence.words)
            share = len(written) * said // len(sentence.words)
            count = share if sentence.finished else min(said, share, len(written))
        else:
            usual = mean(self._paces) if self._paces else USUAL_PACE
            pace = 0.0 if sentence.finished else usual
            count = words_before(sentence.text, sentence.sound, sent / self._rate, pace=pace)
        return " ".join(written[:count])
