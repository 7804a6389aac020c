"""Numbers as English words, the way an operator reads them: no "and", no commas inside."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from num2words import num2words

NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:[ ]000)+(?!\d)|\d+(?:\.\d+)?)"
"""A number as written in English: digits, thousands in commas, perhaps a decimal part.

Round thousands may stand apart ("20 000"); other groups in spaces are codes or telephone numbers.
"""

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_LONGEST = 15
"""Longer whole numbers are read digit by digit: nobody follows them as one number."""


@lru_cache(maxsize=4096)
def cardinal(value: int) -> str:
    """1250 -> "one thousand two hundred fifty"."""
    if len(str(abs(value))) > _LONGEST:
        return ("minus " if value < 0 else "") + digits(str(abs(value)))
    return _plain(num2words(value))


@lru_cache(maxsize=1024)
def ordinal(value: int) -> str:
    """21 -> "twenty-first"."""
    if len(str(value)) > _LONGEST:
        return digits(str(value))
    return _plain(num2words(value, to="ordinal"))


@lru_cache(maxsize=1024)
def year(value: int) -> str:
    """1905 -> "nineteen oh five", 2026 -> "twenty twenty-six", 2005 -> "two thousand five"."""
    return _plain(num2words(value, to="year")).replace("oh-", "oh ")


def digits(text: str) -> str:
    """ "0199" -> "zero one nine nine"; whatever is no digit is left out."""
    return " ".join(_DIGITS[unicodedata.decimal(c)] for c in text if c.isdecimal())


def grouped(text: str) -> str:
    """Digits in short groups with a pause between them: "1234567" -> "one two three, four five six seven"."""
    size = len(text)
    if size <= 4:
        return digits(text)
    cut = 4 if size % 4 == 0 else 3
    parts: list[str] = []
    while len(text) > 4:
        parts.append(digits(text[:cut]))
        text = text[cut:]
    return ", ".join([*parts, digits(text)])


def number(text: str) -> str:
    """A matched `NUMBER`: "1,250.5" -> "one thousand two hundred fifty point five"."""
    whole, _, fraction = text.replace(",", "").replace(" ", "").partition(".")
    if len(whole) > 1 and whole.startswith("0"):
        spoken = digits(whole)
    else:
        spoken = cardinal(int(whole or "0"))
    return f"{spoken} point {digits(fraction)}" if fraction else spoken


def fraction(top: int, bottom: int) -> str:
    """3, 4 -> "three quarters"; a bottom that has no name of its own -> "three over fifty"."""
    if bottom == 2:
        return "one half" if top == 1 else f"{cardinal(top)} halves"
    if bottom == 4:
        return "one quarter" if top == 1 else f"{cardinal(top)} quarters"
    if 3 <= bottom <= 20 or bottom in (100, 1000):
        return f"{cardinal(top)} {ordinal(bottom)}{'' if top == 1 else 's'}"
    return f"{cardinal(top)} over {cardinal(bottom)}"


def is_one(text: str) -> bool:
    """Whether a written number takes the singular: "1" does, "1.0" and "2" do not."""
    return text.replace(",", "") == "1"


def _plain(words: str) -> str:
    return words.replace(",", "").replace(" and ", " ")
