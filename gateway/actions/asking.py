"""When a question is answered: keys, speech and silence against the clock. Pure: time comes in.

Whoever holds it tells what happened, does what the returned `Move` says, and calls `timeout` at `due`. Keys
go before speech: who presses one has decided how to answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum, auto

from gateway.dialplan.actions_ask import Gather
from gateway.dialplan.answers import Heard

WORDS_DUE = 4.0
"""Seconds after a spoken answer within which the recogniser must have given its words."""
MOST_NOISES = 3
"""Stretches of voice without a word that are waited out before they count as no answer."""


class Move(Enum):
    """What follows."""

    NOTHING = auto()
    HUSH = auto()
    """Stop asking: the answer begins."""
    CUT = auto()
    """The spoken answer is too long: end the segment that is open."""
    DONE = auto()
    """`answer` holds what was answered, None for nothing."""


class Asking:
    """One try of one question."""

    def __init__(self, ask: Gather, complete: Callable[[str], bool] = lambda keys: False) -> None:
        """`complete`: whether these keys are an answer that no further key could change."""
        self._ask = ask
        self._complete = complete
        self._hears_speech = ask.hears_speech
        self._asking = True
        self._keys = ""
        self._speaking = False
        self._quiet = False
        self._awaited: set[int] = set()
        self._texts: dict[int, str] = {}
        self._confidence = 1.0
        self._noises = 0
        self.due = math.inf
        """When to call `timeout`."""
        self.done = False
        self.answer: Heard | None = None

    @property
    def wants_speech(self) -> bool:
        """Whether a segment that begins now counts."""
        deaf = self._asking and not self._ask.barge_in
        return self._hears_speech and not self._keys and not deaf and not self.done

    @property
    def waits(self) -> bool:
        """Whether it is the caller's turn, and his silence runs against him."""
        answering = self._speaking or self._awaited or self._texts
        return not self.done and not self._asking and bool(self._keys or not answering)

    def wait_anew(self, now: float) -> None:
        """What the caller had to listen to is over: he has all his time again."""
        if self.waits:
            self.due = now + (self._ask.digit_timeout if self._keys else self._ask.timeout)

    def asked(self, now: float) -> None:
        """The question was heard out."""
        if self._asking and not self.done:
            self._asking = False
            self.due = now + self._ask.timeout

    def key(self, digit: str, now: float) -> Move:
        """A key was pressed."""
        if self.done or not self._ask.hears_keys or (self._asking and not self._ask.barge_in):
            return Move.NOTHING
        digits = self._ask.digits
        if digit == digits.terminator:
            return self._finish(Heard(self._keys or digit, keyed=True, ended_by=digit))
        self._begin_answer()
        self._keys += digit
        if len(self._keys) >= digits.max or self._complete(self._keys):
            return self._finish(Heard(self._keys, keyed=True))
        self.due = now + self._ask.digit_timeout
        return Move.HUSH

    def voice_began(self, now: float) -> Move:
        """Somebody speaks. Asked for only while `wants_speech`."""
        if not self.wants_speech:
            return Move.NOTHING
        self._begin_answer()
        self._speaking, self._quiet = True, False
        self.due = now + self._ask.longest
        return Move.HUSH

    def voice_ended(self, segment: int, at: float) -> None:
        """The segment is over and its words are to come; `at`: when the last of it was spoken."""
        if self.done or self._keys:
            return
        self._speaking = False
        self._awaited.add(segment)
        self.due = at + self._ask.end_silence

    def words(self, segment: int, text: str, now: float, confidence: float = 1.0) -> Move:
        """The final transcript of a segment."""
        if self.done or self._keys or segment not in self._awaited:
            return Move.NOTHING
        self._awaited.discard(segment)
        self._texts[segment] = text.strip()
        if text.strip():
            self._confidence = min(self._confidence, confidence)
        return self._heard(now) if self._quiet and not self._awaited else Move.NOTHING

    def deaf(self, now: float) -> None:
        """The recogniser is lost: only keys count from now on."""
        self._hears_speech = self._speaking = False
        self._awaited.clear()
        if not (self.done or self._keys or self._asking):
            self.due = now + self._ask.timeout

    def timeout(self, now: float) -> Move:
        """Call it at `due`; too early does no harm."""
        if self.done or now < self.due:
            return Move.NOTHING
        if self._keys:
            return self._finish(Heard(self._keys, keyed=True))
        if self._speaking:
            self._hears_speech = False
            self.due = now + self._ask.end_silence
            return Move.CUT
        if self._awaited and not self._quiet:
            self._quiet = True
            self.due = now + WORDS_DUE
            return Move.NOTHING
        if self._awaited or self._texts:
            return self._heard(now)
        return self._finish(None)

    def _begin_answer(self) -> None:
        self._asking = False

    def _heard(self, now: float) -> Move:
        """All words are there, or overdue."""
        text = " ".join(self._texts[segment] for segment in sorted(self._texts) if self._texts[segment])
        if text:
            return self._finish(Heard(text, keyed=False, confidence=self._confidence))
        self._awaited.clear()
        self._texts.clear()
        self._quiet = False
        self._noises += 1
        if self._noises >= MOST_NOISES or not self._hears_speech:
            return self._finish(None)
        self.due = now + self._ask.timeout
        return Move.NOTHING

    def _finish(self, answer: Heard | None) -> Move:
        self.answer, self.done, self.due = answer, True, math.inf
        return Move.DONE
