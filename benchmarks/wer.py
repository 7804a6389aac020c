"""Word error rate of what was heard, not how it is written: "7" is "seven", "voice mail" is one word."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_SYMBOLS = {"#": "pound", "*": "star", "&": "and", "%": "percent", "+": "plus", "@": "at", "=": "equals"}
_SPELLINGS = {
    "ok": "okay",
    "mister": "mr",
    "missus": "mrs",
    "doctor": "dr",
    "saint": "st",
    "street": "st",
    "avenue": "ave",
    "cannot": "can not",
    "cant": "can not",
    "wont": "will not",
    "dont": "do not",
    "doesnt": "does not",
    "didnt": "did not",
    "isnt": "is not",
    "arent": "are not",
    "wasnt": "was not",
    "hasnt": "has not",
    "havent": "have not",
    "couldnt": "could not",
    "im": "i am",
    "ive": "i have",
    "ill": "i will",
    "youre": "you are",
    "youve": "you have",
    "youll": "you will",
    "its": "it is",
    "thats": "that is",
    "theres": "there is",
    "were": "we are",
    "theyre": "they are",
    "lets": "let us",
}
"""Written differently, heard alike; applied to both sides, so that it can only forgive a spelling."""
_JOINED = (
    "voice mail|voice mails|log in|log off|logged on|logged off|e mail|e mails|re enter|re entered|re record|"
    "re recorded|touch tone|key pad|key word|key words|un mute|un lock|set up|call back|hang up|pass word|"
    "mail box|call forward|pre pend|file name|on hold|a m|p m|o clock"
).split("|")
_JOIN = re.compile(r"\b(" + "|".join(_JOINED) + r")\b")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)\b")
_MONEY = re.compile(r"\$(\d+)(?:\.(\d\d))?")


def normalise(text: str) -> list[str]:
    """The words of a text as they sound: small letters, numbers spelt out, no marks, one spelling each."""
    text = text.lower().replace("’", "'")
    text = re.sub(r"(\d),(?=\d{3})", r"\1", text)
    text = _MONEY.sub(lambda m: f"{m[1]} dollars" + (f" and {m[2]} cents" if m[2] else ""), text)
    for symbol, name in _SYMBOLS.items():
        text = text.replace(symbol, f" {name} ")
    text = re.sub(r"(\d)\.(?=\d)", r"\1 point ", text)
    text = _ORDINAL.sub(lambda m: f" {_ordinal(m[1])} ", text)
    text = re.sub(r"\d+", lambda m: f" {_cardinal(m[0])} ", text)
    text = text.replace("'", "")
    words = re.findall(r"[a-z]+", text)
    spelt = " ".join(_SPELLINGS.get(word, word) for word in words)
    return _JOIN.sub(lambda m: m[0].replace(" ", ""), spelt).split()


def word_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """Substitutions, insertions and deletions between two texts, and the number of words in the reference."""
    expected, heard = normalise(reference), normalise(hypothesis)
    return distance(expected, heard), len(expected)


def distance(expected: Sequence[str], heard: Sequence[str]) -> int:
    """Fewest single-word changes that turn one sequence into the other."""
    row = list(range(len(heard) + 1))
    for number, word in enumerate(expected, 1):
        diagonal, row[0] = row[0], number
        for place, other in enumerate(heard, 1):
            change = diagonal + (word != other)
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, change)
    return row[-1]


def _cardinal(digits: str) -> str:
    number = int(digits)
    # A leading zero or more than six digits is a code, read digit by digit.
    if (digits.startswith("0") and len(digits) > 1) or number >= 10**6:
        return " ".join(_SMALL[int(digit)] for digit in digits)
    if number < 20:
        return _SMALL[number]
    if number < 100:
        return _TENS[number // 10 - 2] + (f" {_SMALL[number % 10]}" if number % 10 else "")
    step, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    rest = f" {_cardinal(str(number % step))}" if number % step else ""
    return f"{_cardinal(str(number // step))} {name}{rest}"


def _ordinal(digits: str) -> str:
    *before, last = _cardinal(digits).split()
    ending = _ORDINALS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
    return " ".join([*before, ending])
