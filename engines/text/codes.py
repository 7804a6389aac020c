"""Things that are spelled: telephone numbers, codes, e-mail and web addresses."""

from __future__ import annotations

import re

from engines.text.claims import Rule, rule
from engines.text.numbers import cardinal, digits, grouped, number

_LONGEST_CODE = 48
"""Characters of one code that are read; the rest of a longer one is left out."""
_VOWEL = re.compile(r"[aeiouyAEIOUY]")
_RUN = re.compile(r"[A-Za-z]+|\d+")
_MARKS = {
    ".": "dot", "-": "dash", "_": "underscore", "+": "plus", "@": "at", "/": "slash", "~": "tilde",
    "=": "equals", "%": "percent", "&": "and", "#": "hash", "?": "question mark", ":": "colon",
}  # fmt: skip
_SAID_AS_WORDS = frozenset({"com", "org", "net", "edu", "gov", "info", "co", "biz", "app", "dev"})
_TLD = (
    "com|org|net|edu|gov|info|biz|app|dev|io|ai|co|us|uk|de|fr|es|it|nl|be|ch|at|se|no|dk|fi|pl|pt|ie|eu|ca|au|"
    "nz|in|jp|cn|br|mx|tv|me|ly|xyz|tech|online|store|shop|cloud|local|test|example"
)
_ASKED_FOR = (
    "pin|code|passcode|password|account|acct|confirmation|reference|ref|order|ticket|case|tracking|zip|zipcode|"
    "postcode|extension|ext|serial|policy|invoice|booking|reservation|member|membership|customer|card|flight|"
    "otp|verification|passkey|room|suite|apartment|apt|unit|gate|id|claim|meter|licen[cs]e"
)


def spelled(letters: str) -> str:
    """Letters one by one; a dot keeps the letter A from being read as the article."""
    return " ".join("A." if letter in "aA" else letter.upper() for letter in letters)


def _phone(match: re.Match[str]) -> str:
    text = match.group()
    groups = ", ".join(grouped(run) for run in re.findall(r"\d+", text))
    return ("plus " if text.startswith("+") else "") + groups


def _account(match: re.Match[str]) -> str | None:
    """An IBAN (ISO 13616), as it is printed: in fours."""
    code = match.group().replace(" ", "")
    if not 15 <= len(code) <= 34 or sum(char.isdigit() for char in code) < 8:
        return None
    fours = (code[at : at + 4] for at in range(0, len(code), 4))
    return ", ".join(" ".join(_one_by_one(run) for run in _RUN.findall(four)) for four in fours)


def _vanity(match: re.Match[str]) -> str:
    parts = [grouped(p) if p.isdigit() else p.lower() for p in match.group().split("-")]
    return ", ".join(parts)


def _long_number(match: re.Match[str]) -> str | None:
    """Seven digits and more are a telephone or account number, unless they are round."""
    return None if match.group().endswith("000") else grouped(match.group())


def _version(match: re.Match[str]) -> str:
    """ "v3.11.4" as numbers; four parts are an IP address, read digit by digit."""
    parts = match[2].split(".")
    if len(parts) == 4:
        return " dot ".join(digits(part) for part in parts)
    return ("version " if match[1] else "") + " point ".join(number(part) for part in parts)


def _hyphened(match: re.Match[str]) -> str:
    return f"{cardinal(int(match[1]))} {match[2]} {cardinal(int(match[3]))}"


def _extension(match: re.Match[str]) -> str:
    return f"extension {digits(match[1])}"


def _code(match: re.Match[str]) -> str:
    """A mix of letters and digits: spelled, unless letters make a word ("room12") or it is short ("B12")."""
    text = match.group()[:_LONGEST_CODE]
    runs = [run for part in text.split("-") for run in _RUN.findall(part)]
    if any(_is_word(run) for run in runs):
        return " ".join(_said(run) for run in runs)
    if len(text) <= 4 and sum(run.isdigit() for run in runs) == 1 and "-" not in text:
        return " ".join(_said(run) for run in runs)
    parts = (" ".join(_one_by_one(run) for run in _RUN.findall(part)) for part in text.split("-"))
    return ", ".join(part for part in parts if part)


def _is_word(run: str) -> bool:
    """Whether letters are read as a word: "COVID", "room", "iPhone", but not "XKQT", "SKU" or "ab"."""
    return run.isalpha() and len(run) >= (5 if run.isupper() else 3) and bool(_VOWEL.search(run))


def _said(run: str) -> str:
    if run.isdigit():
        return cardinal(int(run)) if len(run) <= 2 and run[0] != "0" else digits(run)
    return run if _is_word(run) else spelled(run)


def _one_by_one(run: str) -> str:
    return grouped(run) if run.isdigit() else spelled(run)


def _address(text: str) -> str:
    """A web or e-mail address: words as words, digits one by one, marks by name, short endings spelled."""
    words: list[str] = []
    pieces = re.findall(r"[A-Za-z]+|\d+|.", text[:_LONGEST_CODE])
    for index, piece in enumerate(pieces):
        if piece.isdecimal():
            words.append(digits(piece))
        elif piece.isalpha():
            ending = index > 0 and pieces[index - 1] == "."
            words.append(_label(piece, ending=ending))
        elif piece in _MARKS:
            words.append(_MARKS[piece])
    return " ".join(words)


def _label(piece: str, *, ending: bool) -> str:
    if not piece.isascii() or piece.lower() in _SAID_AS_WORDS:
        return piece
    if (ending and len(piece) == 2) or not _VOWEL.search(piece) or len(piece) == 1:
        return spelled(piece)
    return piece


def _url(match: re.Match[str]) -> str:
    """Without scheme, "www", query and fragment: nobody types those from hearing."""
    bare = re.sub(r"^(?:[a-z][a-z+.-]*://)?(?:www\.)?", "", match.group(), flags=re.IGNORECASE)
    return _address(re.split(r"[?#]", bare)[0].rstrip("/"))


PHONES: tuple[Rule, ...] = (
    rule(r"(?<!\w)[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,3})?(?!\w)", _account),
    rule(r"(?<![\w.])\+\d{1,3}(?:[ .\-/()]{0,2}\d){6,14}(?!\w)", _phone),
    rule(r"(?<![\w.+-])(?:1[-. ])?(?:\(\d{3}\)[ -]?|\d{3}[-. ])\d{3}[-. ]\d{4}(?![\w-])", _phone),
    rule(r"(?<![\w.+-])(?:1-)?\d{3}-(?=[A-Z-]{4,}\b)[A-Z]+(?:-[A-Z]+)*\b", _vanity),
    rule(r"(?<![\w.+-])\d{3}-\d{4}(?![\w-])", _phone),
    rule(r"(?<![\w.,-])\(?0\d{1,4}\)?[ /-]\d{2,}(?:[ -]?\d{2,}){0,4}(?![\w-])", _phone),
    rule(r"(?<![\w.,-])\d{4}(?:[ -]\d{4}){2,4}(?![\w-])", _phone),
    rule(r"(?<![\w.,+-])\d{3}[ ]\d{4}(?![\w-]|[ ,.]\d)", _phone),
    rule(r"(?:(?<=[ ,;])|(?<=\d{4}))(?:x|ext\.?|extension)[ ]?(\d{1,6})\b", _extension, flags=re.IGNORECASE),
    rule(r"(?<![\w.,$€£-])\d+(?:-\d+){2,}(?![\w-])", _phone),
    rule(r"(?<![\w.,$€£])\d{7,}(?![\w,]|\.\d)", _long_number),
)
"""Telephone, card and account numbers, read digit by digit in groups."""

ADDRESSES: tuple[Rule, ...] = (
    rule(r"[\w.+%-]+@\w[\w-]*(?:\.\w[\w-]*)+", lambda m: _address(m.group())),
    rule(r"\b[a-z][a-z+.-]{1,15}://[^\s<>\"')\]]*[\w/]", _url, flags=re.IGNORECASE),
    rule(r"\bwww\.[\w-]+(?:\.[\w-]+)+(?:/[^\s<>\"')\]]*[\w/])?", _url, flags=re.IGNORECASE),
    rule(rf"(?<![\w@.])[A-Za-z][\w-]*(?:\.[\w-]+)*\.(?:{_TLD})(?:/[^\s<>\"')\]]*[\w/])?(?![\w@])", _url),
)
"""E-mail and web addresses."""

CODES: tuple[Rule, ...] = (
    rule(r"(?<![\w-])(\d{1,3})-([a-z]+)-(\d{1,3})(?![\w-])", _hyphened),
    rule(r"(?<![\w.])(v)(\d+(?:\.\d+){1,3})(?!\w)", _version, flags=re.IGNORECASE),
    rule(r"(?<![\w.])(v?)(\d+(?:\.\d+){2,})(?!\w)", _version),
    rule(r"(?<![\w.$€£])(\d{1,4})-(?=[a-z]{3,})", lambda m: cardinal(int(m[1])) + " "),
    rule(r"(?<=[a-z]{3})-(\d{1,2})\b(?!-)", lambda m: " " + cardinal(int(m[1]))),
    rule(r"(?<![\w.,$€£])(?=[A-Za-z-]*\d)(?=[\d-]*[A-Za-z])[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*(?!\w)", _code),
    rule(
        rf"\b(?:{_ASKED_FOR})s?(?:[ ](?:number|no\.|code|id))?(?:[ ](?:is|was|ending in|ends in))?"
        r"[:#.]?[ ]?#?(\d{3,6})(?![\w%]|[.,]\d)",
        lambda m: grouped(m[1]),
        group=1,
        flags=re.IGNORECASE,
    ),
    rule(
        r"\b(?:call|calling|dial|dialing|text)[ ](?:[A-Z]+[ ]to[ ])?(\d{3,6})(?=$|[.,!?;)](?!\d)|"
        r"[ ](?:for|to|now|if|and|or|from|at|any|immediately|right|when|directly|instead)\b)",
        lambda m: grouped(m[1]),
        group=1,
        flags=re.IGNORECASE,
    ),
    rule(r"(?<![\w.,$€£:/])0\d+(?![\w,:/]|\.\d)", lambda m: grouped(m.group())),
)
"""Codes, identifiers and numbers that are asked for as such."""
