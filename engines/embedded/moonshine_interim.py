"""Which of the words heard so far may be shown: those on which two passes over the growing audio agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engines.embedded.moonshine_guard import plain_words
from engines.embedded.moonshine_tokens import SpokenWord

_ENDS = ".,!?;:…"


@dataclass(frozen=True, slots=True)
class InterimSettings:
    """How often the open segment is listened to, and which words of it are shown."""

    every: float = 0.4
    """Seconds of new audio between two passes, 0.1 to 5; costs rise as it falls."""
    thinning: float = 0.08
    """Least distance of two passes as a share of the audio so far, 0 to 0.5: a pass over long audio costs
    more, so there are fewer."""
    first: float = 0.6
    """Seconds of audio (pre-roll included) before the first pass, 0.2 to 5."""
    confidence: float = 0.5
    """Mean confidence below which a whole pass is dropped, 0 to 1."""
    word_confidence: float = 0.4
    """Confidence of a word below which it and what follows it is not looked at, 0 to 1."""

    def __post_init__(self) -> None:
        if not 0.1 <= self.every <= 5.0:
            raise ValueError("every: give seconds from 0.1 to 5")
        if not 0.0 <= self.thinning <= 0.5:
            raise ValueError("thinning: give a share from 0 to 0.5")
        if not 0.2 <= self.first <= 5.0:
            raise ValueError("first: give seconds from 0.2 to 5")
        if not 0.0 <= self.confidence <= 1.0 or not 0.0 <= self.word_confidence <= 1.0:
            raise ValueError("confidence, word_confidence: give a share from 0 to 1")

    def next_pass(self, seconds: float) -> float:
        """At what length of the audio the pass after one at `seconds` is due."""
        return seconds + max(self.every, seconds * self.thinning)


class Captions:
    """The words of one segment shown so far, over all its pieces. Pure."""

    def __init__(self, settings: InterimSettings) -> None:
        self._settings = settings
        self._agreement = Agreement(settings)
        self._stable: list[str] = []

    def offer(self, words: Sequence[SpokenWord], confidence: float) -> bool:
        """Hear of another pass over the open piece. True when there is something new to show."""
        return self._agreement.offer(words, confidence)

    def next_piece(self) -> int:
        """The open piece was cut: what comes next is another one. Returns the revisions of the old one."""
        revisions, self._agreement = self._agreement.revisions, Agreement(self._settings)
        return revisions

    def compose(self, known: Sequence[str]) -> tuple[str, int] | None:
        """All words after those `known` of the pieces before, and how many characters will stay.

        None when that is less than was promised before. A promise outlives the pass that made it, and the cut
        of the piece that held it.
        """
        words = [*known, *self._agreement.words]
        if len(words) < len(self._stable) or not words:
            return None
        words[: len(self._stable)] = self._stable
        self._stable = words[: max(len(self._stable), len(known) + self._agreement.fixed)]
        return " ".join(words), len(" ".join(self._stable))


class Agreement:
    """Folds the passes over one piece of audio into the words shown. Pure."""

    def __init__(self, settings: InterimSettings) -> None:
        self._settings = settings
        self._last: list[str] = []
        self._shown: list[str] = []
        self._fixed = 0
        self.revisions = 0
        """Shown words that were taken back."""

    @property
    def words(self) -> tuple[str, ...]:
        """The words shown, without a mark after the last: the sentence may go on."""
        return (*self._shown[:-1], *(word.rstrip(_ENDS) for word in self._shown[-1:]))

    @property
    def fixed(self) -> int:
        """How many of the words will never be taken back: those that a third pass confirmed."""
        return self._fixed

    def offer(self, words: Sequence[SpokenWord], confidence: float) -> bool:
        """Hear of another pass. True when the words shown have changed."""
        if confidence < self._settings.confidence:
            return False
        heard: list[str] = []
        for word in words:
            if word.confidence < self._settings.word_confidence:
                break
            heard.append(word.text)
        before = self.words
        self._fold(heard[: _common(self._last, heard)])
        self._last = heard
        return self.words != before

    def _fold(self, agreed: list[str]) -> None:
        same = _common(self._shown, agreed)
        if same < self._fixed:
            return
        if same < min(len(self._shown), len(agreed)):
            self.revisions += len(self._shown) - same
            self._shown = [*self._shown[:same], *agreed[same:]]
        else:
            self._shown = [*self._shown[: self._fixed], *agreed[self._fixed :], *self._shown[len(agreed) :]]
        # The last of the words confirmed keeps an open end, for the mark after it is not settled.
        self._fixed = max(self._fixed, same - 1)


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Words that two passes begin with alike, whatever their case and marks."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if plain_words(a) != plain_words(b):
            break
        count += 1
    return count
