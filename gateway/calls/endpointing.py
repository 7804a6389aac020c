"""How long to wait after speech before the turn is ours: by the words, and by the caller's own pauses.

Two questions are kept apart. `judge` reads the text and says whether it sounds finished. `Endpointer` turns
that verdict into a delay, counted from the true end of speech:

    speech ──────┐            ┌── resumed within the delay: one turn, and the pause is learned
                 └────────────┴── delay over: the turn is committed
                 end of speech

A caller who pauses in mid-turn is given more time from then on, up to the next verdict's delay; every turn
without a pause takes some of it back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What the words say about the end of the turn."""

    DONE = "done"
    UNDECIDED = "undecided"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """When a turn is over. All delays in seconds, from the last voiced sample."""

    mode: str = "adaptive"
    """`fixed` waits `undecided` always; `adaptive` goes by the words and by the caller's pauses."""
    done: float = 0.46
    """Delay when the words read as finished. Longer than read speech pauses between its sentences."""
    undecided: float = 0.64
    """Delay when the words leave it open, or while there are none yet."""
    unfinished: float = 1.2
    """Delay when the words call for more; also the most that a caller's pauses can earn."""
    margin: float = 1.15
    """A caller who paused for t inside a turn is given at least t times this in the next ones, 1 to 2."""
    forgetting: float = 0.85
    """What remains of that patience after each turn without such a pause, 0 to 1."""
    suspicion: float = 0.12
    """How long the end of a turn is put off while voice is suspected but not confirmed."""

    def __post_init__(self) -> None:
        if self.mode not in ("fixed", "adaptive"):
            raise ValueError(f"mode is {self.mode!r}: say fixed or adaptive")
        if not 0 < self.done <= self.undecided <= self.unfinished <= 5:
            raise ValueError("done, undecided and unfinished must grow in this order, within 0 to 5 seconds")
        if not 1 <= self.margin <= 2:
            raise ValueError("margin must lie between 1 and 2")
        if not 0 <= self.forgetting <= 1:
            raise ValueError("forgetting must lie between 0 and 1")
        if not 0 <= self.suspicion <= 0.5:
            raise ValueError("suspicion must lie between 0 and 0.5 seconds")


class Endpointer:
    """One call's patience. Pure: pauses and words go in, delays come out."""

    def __init__(self, settings: EndpointSettings) -> None:
        self._settings = settings
        self._patience = 0.0
        self._has_paused = False

    def delay(self, text: str | None) -> float:
        """Seconds from the end of speech to the end of the turn; `text` is None while nothing is known."""
        s = self._settings
        if s.mode == "fixed":
            return s.undecided
        match Verdict.UNDECIDED if text is None else judge(text):
            case Verdict.DONE:
                return min(max(s.done, self._patience), s.undecided)
            case Verdict.UNDECIDED:
                return min(max(s.undecided, self._patience), s.unfinished)
            case Verdict.UNFINISHED:
                return s.unfinished

    def paused(self, seconds: float) -> None:
        """The caller fell silent for so long and went on with the same turn."""
        wanted = max(0.0, seconds) * self._settings.margin
        self._patience = min(max(self._patience, wanted), self._settings.unfinished)
        self._has_paused = True

    def turn_ended(self) -> None:
        """A turn is over; one without a pause takes some of the patience back."""
        if not self._has_paused:
            self._patience *= self._settings.forgetting
        self._has_paused = False


def judge(text: str) -> Verdict:
    """Whether the words read as a finished turn. Knows English; other languages are judged by punctuation."""
    stripped = text.strip()
    words = _words(stripped)
    if not words:
        return Verdict.UNDECIDED
    if stripped.endswith(_CUT_SHORT) or words[-1] in _LEADS_ON or words[-1] in _HESITATIONS:
        return Verdict.UNFINISHED
    if tuple(words[-2:]) in _HESITANT_PAIRS:
        return Verdict.UNFINISHED
    if dictated := _dictated_digits(words):
        return Verdict.UNDECIDED if dictated >= _WHOLE_NUMBER else Verdict.UNFINISHED
    stopped = stripped.endswith(_FULL_STOPS)
    if words[-1] in _MAY_LEAD_ON:
        return Verdict.UNDECIDED if stopped else Verdict.UNFINISHED
    return Verdict.DONE if stopped and " ".join(words) not in _OPENERS else Verdict.UNDECIDED


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text.lower())


def _dictated_digits(words: list[str]) -> int:
    """Digits in the run of numbers that ends the text, when it reads as one being dictated, else 0.

    One number alone ("press 4", "twenty two") is an answer; several in a row ("five five", "555 12") are a
    series that may go on, and so is a group with dashes ("555-12").
    """
    numbers: list[int] = []
    after = ""
    for word in reversed(words):
        size = _digits_of(word)
        if not size:
            break
        if word in _TENS and after in _UNITS:
            size -= 1  # "twenty two" is one number of two digits
            numbers[-1] += size
        else:
            numbers.append(size)
        after = word
    grouped = bool(numbers) and "-" in words[-1]
    return sum(numbers) if len(numbers) > 1 or grouped else 0


def _digits_of(word: str) -> int:
    bare = word.replace("-", "")
    if bare.isdecimal():
        return len(bare)
    return 1 if word in _UNITS else 2 if word in _TENS or word in _TEENS else 0


_FULL_STOPS = (".", "?", "!", "。", "？", "！", "؟", "।")
_CUT_SHORT = ("-", "–", "—", ":", "...", "…")
"""A comma is not among them: recognisers write one wherever the voice stays up."""
_WHOLE_NUMBER = 10
"""So many digits may be a whole telephone number, so the next silence may well be the end."""

_UNITS = frozenset("zero oh one two three four five six seven eight nine".split())
_TEENS = frozenset(
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen double".split()
)
_TENS = frozenset("twenty thirty forty fifty sixty seventy eighty ninety".split())

_LEADS_ON = frozenset(
    (
        "a an the my your our their every each and or but because so if when while although unless until "
        "whether than as which who whose of from with without at into onto between among during towards "
        "per via i'm i'd i'll i've we're we'd you're they're plus minus point"
    ).split()
)
"""Words that hardly ever end a turn, whatever stop the recogniser puts behind them."""

_MAY_LEAD_ON = frozenset(
    (
        "this that these those his its some any to for by in on about through is are was were am be been "
        "will would shall should could can may might must do does did have has had i we they he she not "
        "very really just maybe also then it's that's there's"
    ).split()
)
"""Words that end a turn ("I am.") less often than they carry on."""

_HESITATIONS = frozenset("um uh uhm erm er eh ehm hm hmm mm like well actually basically".split())
_HESITANT_PAIRS = frozenset({("you", "know"), ("i", "mean"), ("let", "me"), ("kind", "of"), ("sort", "of")})

_OPENERS = frozenset(
    {
        "hello", "hi", "hey", "goodbye", "good morning", "good afternoon", "good evening", "sorry",
        "i'm sorry", "i am sorry", "excuse me", "thank you", "thanks", "hello there", "hi there", "oh",
        "okay so", "right so",
    }
)  # fmt: skip
"""Courtesies that are often followed by the thing itself."""
