"""What the caller really heard of a reply: from the samples that were sent, cut at the word."""

from __future__ import annotations

from dataclasses import dataclass, field

from engines.base import Word


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

    @property
    def written(self) -> int:
        """Samples queued so far."""
        return self._written

    def begin(self, text: str, index: int | None) -> None:
        """The samples that follow speak this sentence."""
        self._spoken.append(_Spoken(text, index, self._written))

    def words(self, words: tuple[Word, ...]) -> None:
        """Where the sentence's words lie, as far as the voice knows it."""
        self._spoken[-1].words.extend(words)

    def wrote(self, samples: int) -> None:
        """So many more samples of the sentence were queued."""
        self._spoken[-1].samples += samples
        self._written += samples

    def end(self) -> None:
        """The sentence was spoken to its end."""
        self._spoken[-1].finished = True

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
        else:  # the sound is spread over the letters
            letters = len(sentence.text) * sent / sentence.samples
            count = _whole_words(written, letters)
        return " ".join(written[:count])


def _whole_words(words: list[str], letters: float) -> int:
    """How many words fit into so many letters, counting the spaces between them."""
    end = -1
    for count, word in enumerate(words):
        end += len(word) + 1
        if end > letters:
            return count
    return len(words)
