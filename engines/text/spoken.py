"""The reading of a text: what a voice is to say, and for which written word."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from engines.text import amounts, codes, markup, moments, words
from engines.text.claims import Claim, Rule, claim_all
from engines.text.numbers import cardinal, fraction


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """One written word, or a few that are read as one thing ("May 3rd"), and its reading."""

    written: str
    """As in the text, white space collapsed; all of them joined by spaces are the text again."""
    spoken: str
    """Latin letters, spaces and punctuation only; no digits. Never empty."""


_RULES: tuple[Rule, ...] = (
    *markup.RULES,
    *codes.ADDRESSES,
    *moments.RULES,
    *amounts.MONEY,
    *codes.PHONES,
    *amounts.MEASURES,
    *codes.CODES,
    *words.RULES,
    *amounts.NUMBERS,
)

# One character for one, so that every place in the folded text is the same place in the written one.
_FOLD = str.maketrans("’‘ʼ`´“”„«»\u00a0\u202f\u2009\u2011\u2010\u2212\uff0c\u3002\uff01\uff1f",
                      "'''`'\"\"\"\"\"   ---,.!?")  # fmt: skip
_LETTERS = {"ß": "ss", "æ": "ae", "œ": "oe", "Æ": "Ae", "Œ": "Oe"}
_PAUSES = {"(": ", ", ")": ", ", "[": ", ", "]": ", ", "{": ", ", "}": ", ", "–": ", ", "—": ", ", "|": ", ",
           "•": ", ", "…": "… ", "/": " ", "\\": " ", "_": " ", "~": " "}  # fmt: skip
_KEPT = frozenset(".,;:!?'-")
_MARK = re.compile(r"[.,;:!?…-]")
_LATIN_END = 0x250


def speakable(text: str) -> str:
    """The text as a voice is to say it; "" when nothing of it can be spoken. Never raises."""
    return " ".join(word.spoken for word in spoken(text))


def spoken(text: str) -> tuple[SpokenWord, ...]:
    """The text's words with their readings, in order. Never raises."""
    folded = "".join(_as_ascii_digit(c) for c in text.translate(_FOLD))
    claims = claim_all(folded, _RULES)
    return _joined([(text[a:b], _reading(folded, claims, a, b)) for a, b in _groups(folded, claims)])


def _as_ascii_digit(char: str) -> str:
    return str(unicodedata.decimal(char)) if char.isdecimal() else char


def _groups(text: str, claims: list[Claim]) -> list[tuple[int, int]]:
    """The written words' places; words that one claim reads together are one."""
    groups: list[tuple[int, int]] = []
    joints = [c for c in claims if re.search(r"\s", text[c.start : c.end])]
    for match in re.finditer(r"\S+", text):
        start, end = match.span()
        if groups and any(c.start < groups[-1][1] and c.end > start for c in joints):
            start = groups.pop()[0]
        groups.append((start, end))
    return groups


def _reading(text: str, claims: list[Claim], start: int, end: int) -> str:
    """What to say for `text[start:end]`."""
    said: list[str] = []
    at = start
    for claim in claims:
        if not start <= claim.start < end:
            continue
        said += [*(_character(text, i) for i in range(at, claim.start)), claim.spoken]
        at = claim.end
    said += [_character(text, i) for i in range(at, end)]
    return "".join(said)


def _character(text: str, index: int) -> str:
    char = text[index]
    if char.isascii() and char.isalpha() or char in _KEPT:
        return char
    if char in _LETTERS:
        return _LETTERS[char]
    if char in _PAUSES:
        return _PAUSES[char]
    if char.isspace():
        return " "
    if char.isnumeric():
        return _numeral(char, after_digit=index > 0 and text[index - 1].isnumeric())
    if char.isalpha() and ord(char) < _LATIN_END:
        return char
    if unicodedata.category(char)[0] in "SP":
        return " "
    plain = unicodedata.normalize("NFKD", char)
    return "".join(c for c in plain if c.isascii() and c.isalpha())


def _numeral(char: str, *, after_digit: bool) -> str:
    """Signs such as "½", "²", "Ⅳ" and "①"; numerals of other scripts are words there, and are left out."""
    if unicodedata.category(char) not in ("No", "Nl", "Nd"):
        return ""
    value = unicodedata.numeric(char)
    if value == int(value):
        return f" {cardinal(int(value))} "
    top, bottom = value.as_integer_ratio()
    if bottom > 1000:
        top, bottom = round(value * 30), 30
        top, bottom = (top // 10, 3) if top % 10 == 0 else (top // 5, 6) if top % 5 == 0 else (top // 6, 5)
    if after_digit:
        return " and a half " if (top, bottom) == (1, 2) else f" and {fraction(top, bottom)} "
    return f" {fraction(top, bottom)} "


def _joined(pairs: list[tuple[str, str]]) -> tuple[SpokenWord, ...]:
    """Words that say nothing go with the word before them, or the first one after."""
    found: list[SpokenWord] = []
    silent = ""
    for written, raw in pairs:
        written = " ".join(written.split())
        reading = _tidy(raw)
        if any(c.isalpha() for c in reading):
            found.append(SpokenWord(f"{silent} {written}".strip(), reading))
            silent = ""
        elif found:
            last = found[-1]
            mark = _MARK.search(raw) if last.spoken[-1].isalpha() else None
            pause = mark.group().replace("-", ",") if mark else ""
            found[-1] = SpokenWord(f"{last.written} {written}", last.spoken + pause)
        else:
            silent = f"{silent} {written}".strip()
    return tuple(found)


def _tidy(reading: str) -> str:
    """White space collapsed, punctuation attached and not repeated, none in front."""
    reading = re.sub(r"\s+", " ", re.sub(r"\.{2,}", "…", reading))
    reading = re.sub(r" (?=[.,;:!?…])", "", reading)
    reading = re.sub(r"[,;:]+ ?(?=[.!?…])", "", re.sub(r"([,;:])(?: ?[,;:])+", r"\1", reading))
    reading = re.sub(r"([.!?…,;:])\1+", r"\1", reading)
    reading = re.sub(r"(?<![A-Za-z])[-']+(?![A-Za-z])|--+", " ", reading)
    return re.sub(r"^[^A-Za-zÀ-ɏ]+", "", reading).strip() if reading.strip() else ""
