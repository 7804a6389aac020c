"""Dates and times as a person says them."""

from __future__ import annotations

import re

from engines.text.claims import Rule, rule
from engines.text.numbers import cardinal, ordinal, year

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_NAMES = {name: name for name in _MONTHS} | {name[:3]: name for name in _MONTHS} | {"Sept": "September"}
_MONTH = "|".join(sorted(_NAMES, key=len, reverse=True))
_DAYS = {
    "Mon": "Monday", "Tue": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday", "Fri": "Friday",
    "Sat": "Saturday", "Sun": "Sunday",
}  # fmt: skip
_DAY = "Mon|Tues?|Wed|Thu(?:rs?)?|Fri|Sat|Sun"
_HALF_DAY = r"[ \t]?([AaPp])(?:\.[ ]?[Mm]\.|[Mm]\b)"
_SUFFIX = r"(?:st|nd|rd|th)?"
_WHOLE = r"(?![:%]|[.,]\d)"
"""What stands before it is all of the number."""


def _date(years: str, month: int, day: int) -> str | None:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    return f"{_MONTHS[month - 1]} {ordinal(day)}" + (f", {_year(years)}" if years else "")


def _year(text: str) -> str:
    if len(text) == 2:
        text = ("19" if int(text) >= 70 else "20") + text
    return year(int(text))


def _iso(match: re.Match[str]) -> str | None:
    date = _date(match[1], int(match[2]), int(match[3]))
    return f"{date} at " if date and match[4] else date


def _slashed(match: re.Match[str]) -> str | None:
    """Month first, as in America, unless only the other order is a date."""
    first, second = int(match[1]), int(match[2])
    return _date(match[3], first, second) or _date(match[3], second, first)


def _dotted(match: re.Match[str]) -> str | None:
    return _date(match[3], int(match[2]), int(match[1]))


def _short(match: re.Match[str]) -> str | None:
    return _date("", int(match[1]), int(match[2]))


def _month_day(match: re.Match[str]) -> str | None:
    day = int(match[2])
    if not 1 <= day <= 31:
        return None
    tail = f", {year(int(match[3]))}" if match[3] else ""
    return f"{_NAMES[match[1]]} {ordinal(day)}{tail}"


def _day_month(match: re.Match[str]) -> str | None:
    day = int(match[2])
    if not 1 <= day <= 31:
        return None
    tail = f", {year(int(match[4]))}" if match[4] else ""
    return f"the {ordinal(day)} of {_NAMES[match[3]]}{tail}"


def _month_year(match: re.Match[str]) -> str:
    return f"{_NAMES[match[1]]} {year(int(match[2]))}"


def _clock(match: re.Match[str]) -> str | None:
    hour, minute, second, half = int(match[1]), int(match[2]), match[3], match[4]
    if hour > 24 or (half and hour > 12):
        return None
    if hour in (0, 24) and not minute and not second and not half:
        return "midnight"
    words = cardinal(hour)
    if minute:
        words += f" oh {cardinal(minute)}" if minute < 10 else f" {cardinal(minute)}"
    elif not half and not second:
        words += " o'clock" if 1 <= hour <= 12 else " hundred"
    if second and int(second):
        words += f" and {cardinal(int(second))} second" + ("" if int(second) == 1 else "s")
    return words + _half_day(half)


def _hour(match: re.Match[str]) -> str:
    return cardinal(int(match[1])) + _half_day(match[2])


def _day(name: str) -> str:
    return _DAYS[name[:3]]


def _years(match: re.Match[str]) -> str:
    return f"{year(int(match[1]))} {_year(match[2])}"


def _half_day(letter: str | None) -> str:
    return f" {letter.upper()}M" if letter else ""


RULES: tuple[Rule, ...] = (
    rule(rf"\b({_DAY})\.?[ ]?[-–—][ ]?({_DAY})\b\.?(?!\w)", lambda m: f"{_day(m[1])} to {_day(m[2])}"),
    rule(
        rf"\b({_DAY})\b\.?(?=,?[ ](?:the[ ])?(?:\d\d?{_SUFFIX}[ ])?(?:of[ ])?(?:{_MONTH})\b)",
        lambda match: _day(match[1]),
    ),
    rule(r"(?<![\w/])((?:19|20)\d\d)/((?:19|20)?\d\d)(?![\w/])", _years),
    rule(r"(?<![\w-])(\d{4})[-/](\d\d?)[-/](\d\d?)(?:(T)(?=\d\d:\d\d)|(?![\w-]))", _iso),
    rule(r"(?<![\w/])(\d\d?)/(\d\d?)/(\d{4}|\d\d)(?![\w/])", _slashed),
    rule(r"(?<![\w-])(\d\d?)-(\d\d?)-(\d{4})(?![\w-])", _slashed),
    rule(r"(?<![\w.])(\d\d?)\.(\d\d?)\.(\d{4})(?!\w|\.\d)", _dotted),
    rule(r"(?<=\b(?:on|by) )(\d\d?)/(\d\d?)(?![\w/])", _short),
    rule(rf"\b({_MONTH})\.?[ ]?(\d\d?){_SUFFIX}\b{_WHOLE}(?:,?[ ](\d{{4}})\b{_WHOLE})?", _month_day),
    rule(rf"\b([Tt]he )?(\d\d?){_SUFFIX}[ ](?:of[ ])?({_MONTH})\b(?:,?[ ](\d{{4}})\b{_WHOLE})?", _day_month),
    rule(rf"\b({_MONTH})\.?[ ]((?:19|20)\d\d)\b{_WHOLE}", _month_year),
    rule(rf"(?<![\d:.])(\d\d?):([0-5]\d)(?::([0-5]\d)(?:\.\d+)?)?(?:{_HALF_DAY}|Z\b)?(?![\d:])", _clock),
    rule(rf"(?<![\d:.])(1[0-2]|0?[1-9]){_HALF_DAY}", _hour),
    rule(r"(?<=[a-z]-)((?:19|20)\d\d)(?![\w-])", lambda match: year(int(match[1]))),
    rule(r"(?<![\w.,])'?(\d0)s\b", lambda match: _plural(cardinal(int(match[1])))),
    rule(r"(?<![\w.,])((?:1\d|20)\d0)s\b", lambda match: _plural(year(int(match[1])))),
)
"""In the order in which they claim."""


def _plural(words: str) -> str:
    return words[:-1] + "ies" if words.endswith("y") else words + "s"
