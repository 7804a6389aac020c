"""Abbreviations and signs that stand for words."""

from __future__ import annotations

import re

from engines.text.claims import Rule, rule
from engines.text.numbers import cardinal, ordinal

_TITLES = {
    "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Dr": "Doctor", "Prof": "Professor", "St": "Saint",
    "Mt": "Mount", "Ft": "Fort", "Gen": "General", "Col": "Colonel", "Capt": "Captain", "Lt": "Lieutenant",
    "Sgt": "Sergeant", "Rev": "Reverend", "Gov": "Governor", "Sen": "Senator", "Rep": "Representative",
}  # fmt: skip
_ALWAYS_DOTTED = {
    "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Prof": "Professor",
    "St": "Street", "Dr": "Drive", "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Hwy": "Highway",
    "Ln": "Lane", "Ste": "Suite", "Apt": "Apartment", "Dept": "Department", "Inc": "Incorporated",
    "Ltd": "Limited", "Corp": "Corporation", "Co": "Company", "Jr": "Junior", "Sr": "Senior",
    "approx": "approximately", "etc": "et cetera", "vs": "versus", "est": "established", "incl": "including",
    "tel": "telephone", "Tel": "Telephone", "ext": "extension", "Ext": "Extension", "min": "minimum",
    "max": "maximum", "Jan": "January", "Feb": "February", "Apr": "April", "Aug": "August",
    "Sept": "September", "Oct": "October", "Nov": "November", "Dec": "December", "Mon": "Monday",
    "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday", "Thurs": "Thursday",
    "Fri": "Friday",
}  # fmt: skip
_LATIN = {
    "e.g.": "for example",
    "i.e.": "that is",
    "E.g.": "For example",
    "I.e.": "That is",
    "vs": "versus",
    "w/o": "without",
    "w/": "with",
}
_SIGNS = {
    "&": " and ", "@": " at ", "%": " percent ", "=": " equals ", "°": " degrees ", "×": " times ",
    "÷": " divided by ", "±": " plus or minus ", "≈": " about ", "≤": " at most ", "≥": " at least ",
    "№": " number ", "§": " section ", "$": " dollars ", "€": " euros ", "£": " pounds ",
}  # fmt: skip
_ROMAN = {
    "I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "X": 10, "XI": 11,
    "XII": 12, "XIII": 13, "XIV": 14, "XV": 15, "XVI": 16, "XVII": 17, "XVIII": 18, "XIX": 19, "XX": 20,
}  # fmt: skip
_NUMERAL = "|".join(sorted(_ROMAN, key=len, reverse=True))
_CLEAR_NUMERAL = "II|III|VII|VIII|XII|XIII|XIV|XVI|XVII|XVIII|XIX"
"""Those that are not also an abbreviation, such as IV, or a word."""
_COUNTED = (
    "Chapter|Part|Volume|Book|Act|Scene|Phase|Section|Article|Title|Type|Level|Stage|Class|Grade|War|Appendix|"
    "Mark|Bowl|Unit|Tier"
)
_RULERS = (
    "Alexander|Benedict|Catherine|Charles|Christian|Edward|Elizabeth|Ferdinand|Francis|Frederick|George|Gregory|"
    "Gustav|Harald|Henry|Innocent|Ivan|James|Leo|Louis|Nicholas|Otto|Paul|Peter|Philip|Pius|Richard|Robert|Urban|"
    "Victor|Wilhelm|William"
)
_LONGEST_WORD = 30
"""Letters of one word that are read; a longer one is no word."""


def _alternatives(table: dict[str, str]) -> str:
    return "|".join(re.escape(key) for key in sorted(table, key=len, reverse=True))


def _counted(match: re.Match[str]) -> str:
    return cardinal(_ROMAN[match[1]])


def _dotted(match: re.Match[str]) -> str:
    return _ALWAYS_DOTTED[match[1]]


RULES: tuple[Rule, ...] = (
    rule(rf"\b({_alternatives(_TITLES)})\.?(?=[ ][A-Z])(?<!\bSt)", lambda m: _TITLES[m[1]]),
    rule(r"(?<![a-z] )\bSt\.(?=[ ][A-Z])", "Saint"),
    rule(rf"\b({_alternatives(_ALWAYS_DOTTED)})\.", _dotted),
    rule(rf"(?<![\w.])({_alternatives(_LATIN)})(?![\w.])", lambda m: _LATIN[m[1]]),
    rule(
        rf"\b(?:{_RULERS})[ ]((?!I\b)(?:{_NUMERAL}))\b(?!\.\w)",
        lambda match: f"the {ordinal(_ROMAN[match[1]])}",
        group=1,
    ),
    rule(rf"\b(?:{_COUNTED})[ ]((?!I[ ])(?:{_NUMERAL}))\b(?!['’.]\w)", _counted, group=1),
    rule(rf"(?<=[a-z,])[ ]({_CLEAR_NUMERAL})\b", _counted, group=1),
    rule(r"~(?=[ ]?[$€£]?\d)", "about "),
    rule(r"(?<=\d) \* (?=\d)", " times "),
    rule(r"(?<=\d)\^(?=\d)", " to the power of "),
    rule(r"(?<=\d)[ ]?>=[ ]?(?=\d)", " is at least "),
    rule(r"(?<=\d)[ ]?<=[ ]?(?=\d)", " is at most "),
    rule(r"(?<=[A-Za-z])²", " squared"),
    rule(r"(?<=[A-Za-z])³", " cubed"),
    rule(r"\b[Nn]os?\.(?=[ ]?\d)", "number "),
    rule(r"(?<=\bC)#", " sharp"),
    rule(r"(?<=\w)\+\+", " plus plus"),
    rule(r"(?<=\d)#", " pound"),
    rule(r"(?<=\d)\*(?!\d)", " star"),
    rule(r"(?<=\d)[ ]?>[ ]?(?=\d)", " is greater than "),
    rule(r"(?<=\d)[ ]?<[ ]?(?=\d)", " is less than "),
    rule(r"#(?=\d)", "number "),
    rule(r"(?<!\S)#(?=$|[\s.,!?;:)])", "pound"),
    rule(r"(?<!\S)\*(?=$|[\s.,!?;:)\d])", "star "),
    rule(r"\+(?=\d|\s)", " plus "),
    rule(r"(?<=[A-Za-z]{2})/(?=[A-Za-z]{2})", " "),
    rule(rf"({_alternatives(_SIGNS)})", lambda m: _SIGNS[m[1]]),
    rule(rf"(?<=[^\W\d_]{{{_LONGEST_WORD}}})[^\W\d_]+", ""),
)
"""In the order in which they claim."""
