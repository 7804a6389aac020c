"""What a caller answered, and which of the expected answers that is.

An answer is keyed or spoken. Spoken ones are compared as words, whatever their case and punctuation; a
number that is spoken digit by digit counts as its digits.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.dialplan.patterns import MAX_ADDRESS, Pattern, compile_text, is_regex

_DIGITS: dict[str, str] = {
    word: str(value)
    for words in (
        "zero one two three four five six seven eight nine",
        "null eins zwei drei vier fünf sechs sieben acht neun",
        "cero uno dos tres cuatro cinco seis siete ocho nueve",
        "zéro un deux trois quatre cinq six sept huit neuf",
    )
    for value, word in enumerate(words.split())
}
"""Spoken digits in English, German, Spanish and French ..."""
_DIGITS |= {
    "oh": "0", "o": "0", "nought": "0", "won": "1", "ein": "1", "to": "2", "too": "2", "zwo": "2",
    "for": "4", "ate": "8", "star": "*", "hash": "#", "pound": "#",
}  # fmt: skip
"""... and what else is said, or written by recognisers, for them."""
_AROUND = frozenset("number option press key the please digit um uh nummer taste bitte die".split())
"""Words around a number that say nothing about it."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer."""

    text: str
    """What was keyed, or said."""
    keyed: bool
    ended_by: str = ""
    """The key that ended what was keyed; "" when something else did."""
    confidence: float = 1.0
    """The recogniser's, of what was said; 0 to 1."""


def words(text: str) -> tuple[str, ...]:
    """A text as it is compared: its words, folded, without punctuation."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return tuple(re.findall(r"[^\W_]+(?:'[^\W_]+)*", folded))


def digits(text: str) -> str:
    """The digits that a spoken answer is made of; "" when there is anything else in it."""
    said = [word for word in words(text) if word not in _AROUND]
    keys = [word if word.isascii() and word.isdigit() else _DIGITS.get(word, "") for word in said]
    return "".join(keys) if keys and all(keys) else ""


@dataclass(frozen=True, slots=True)
class Expected:
    """Answers that mean one thing: keys, words, or a regular expression; `*` means any answer."""

    written: str
    keys: frozenset[str] = frozenset()
    phrases: tuple[tuple[str, ...], ...] = ()
    regex: Pattern | None = None
    anything: bool = False

    def fits(self, heard: Heard) -> bool:
        """Whether this is what was answered."""
        if self.anything:
            return True
        if self.regex is not None:
            candidates = [heard.text] if heard.keyed else [heard.text, " ".join(words(heard.text))]
            return any(self.regex.matches(text.strip()[:MAX_ADDRESS]) for text in candidates)
        if heard.keyed:
            return heard.text in self.keys
        said = words(heard.text)
        return digits(heard.text) in self.keys or any(_within(phrase, said) for phrase in self.phrases)


def read_expected(written: str) -> Expected:
    """`1`, `sales`, `1, sales, sales department`, `/…/` or `*`. Raises `ValueError`."""
    if is_regex(written):
        return Expected(written, regex=compile_text(written))
    if written.strip() == "*":
        return Expected(written, anything=True)
    keys: set[str] = set()
    phrases: list[tuple[str, ...]] = []
    for part in written.split(","):
        part = part.strip()
        if re.fullmatch(r"[0-9*#A-D]+", part):
            keys.add(part)
        elif said := words(part):
            phrases.append(said)
        else:
            raise ValueError(f'"{part}" is no answer; write keys like 1, words, /a pattern/ or "*"')
    return Expected(written, frozenset(keys), tuple(phrases))


def hints(expected: Iterable[Expected]) -> tuple[str, ...]:
    """The words that a recogniser should listen for."""
    return tuple(dict.fromkeys(" ".join(phrase) for one in expected for phrase in one.phrases))


def longest_key(expected: Iterable[Expected]) -> int:
    """How many keys the longest expected answer has; 0 when none is keyed."""
    return max((len(key) for one in expected for key in one.keys), default=0)


def _within(phrase: Sequence[str], said: Sequence[str]) -> bool:
    """Whether these words were said one after the other."""
    count = len(phrase)
    return any(tuple(said[i : i + count]) == tuple(phrase) for i in range(len(said) - count + 1))
