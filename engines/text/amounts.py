"""Money, percentages, measures, ranges, fractions and plain numbers."""

from __future__ import annotations

import re

from engines.text.claims import Reading, Rule, rule
from engines.text.numbers import NUMBER, cardinal, digits, fraction, is_one, number, ordinal, year

_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "USD": ("dollar", "dollars", "cent", "cents"),
    "CAD": ("Canadian dollar", "Canadian dollars", "cent", "cents"),
    "AUD": ("Australian dollar", "Australian dollars", "cent", "cents"),
    "EUR": ("euro", "euros", "cent", "cents"),
    "GBP": ("pound", "pounds", "penny", "pence"),
    "CHF": ("franc", "francs", "centime", "centimes"),
    "JPY": ("yen", "yen", "", ""),
}
_CODES = "USD|CAD|AUD|EUR|GBP|CHF|JPY"
_MAGNITUDES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion"}
_MAGNITUDE = r"(?:[ ]?(thousand|million|billion|trillion)\b|(k|K|M|B|bn|mn|m)\b)?"
_CONTINENTAL = r"\d{1,3}(?:\.\d{3})+,\d\d(?!\d)"
_MONEY = rf"({_CONTINENTAL}|{NUMBER}(?:,\d\d(?!\d))?)"
_UNITS = {
    "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "m": "meter", "mi": "mile", "yd": "yard",
    "kg": "kilogram", "mg": "milligram", "g": "gram", "lb": "pound", "lbs": "pound", "oz": "ounce",
    "ml": "milliliter", "mL": "milliliter", "l": "liter", "L": "liter", "gal": "gallon",
    "h": "hour", "hr": "hour", "hrs": "hour", "min": "minute", "mins": "minute", "sec": "second",
    "secs": "second", "s": "second", "ms": "millisecond", "kB": "kilobyte", "KB": "kilobyte",
    "MB": "megabyte", "GB": "gigabyte", "TB": "terabyte", "W": "watt", "kW": "kilowatt", "V": "volt",
}  # fmt: skip
_FIXED_UNITS = {
    "ft": ("foot", "feet"), "mph": ("mile per hour", "miles per hour"), "°": ("degree", "degrees"),
    "m/s": ("meter per second", "meters per second"),
    "km/h": ("kilometer per hour", "kilometers per hour"), "dB": ("decibel", "decibels"),
    "Hz": ("hertz", "hertz"), "kHz": ("kilohertz", "kilohertz"), "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"), "kWh": ("kilowatt hour", "kilowatt hours"),
    "°C": ("degree Celsius", "degrees Celsius"), "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "bps": ("bit per second", "bits per second"), "kbps": ("kilobit per second", "kilobits per second"),
    "Mbps": ("megabit per second", "megabits per second"),
    "Gbps": ("gigabit per second", "gigabits per second"),
    "kbit/s": ("kilobit per second", "kilobits per second"),
    "Mbit/s": ("megabit per second", "megabits per second"),
    "Gbit/s": ("gigabit per second", "gigabits per second"),
    "MB/s": ("megabyte per second", "megabytes per second"),
    "GB/s": ("gigabyte per second", "gigabytes per second"),
    "sq ft": ("square foot", "square feet"), "m²": ("square meter", "square meters"),
    "km²": ("square kilometer", "square kilometers"), "cm²": ("square centimeter", "square centimeters"),
    "m³": ("cubic meter", "cubic meters"), "¢": ("cent", "cents"),
}  # fmt: skip
_ALL_UNITS = {short: (name, name + "s") for short, name in _UNITS.items()} | _FIXED_UNITS
_UNIT = "|".join(re.escape(unit) for unit in sorted(_ALL_UNITS, key=len, reverse=True))
_PER = "month|mo|year|yr|week|wk|day|hour|hr|minute|min|second|sec|user|seat|person|night|kg|lb|gallon|call"
_PER_NAMES = {"mo": "month", "yr": "year", "wk": "week", "hr": "hour", "min": "minute", "sec": "second",
              "kg": "kilogram", "lb": "pound"}  # fmt: skip
_MINUS = r"(?:(?<![\w)])-)?"


def _money(symbol: int, amount: int) -> Reading:
    """A reading of matches: which group holds the currency, which the amount (the magnitude follows it)."""

    def reading(match: re.Match[str]) -> str:
        one, many, cent, cents = _CURRENCIES["$" if match[symbol] == "US$" else match[symbol]]
        written = match[amount]
        if re.fullmatch(_CONTINENTAL, written):
            written = written.replace(".", "")
        written = re.sub(r",(?=\d\d$)", ".", written)
        magnitude = match[amount + 1] or _MAGNITUDES.get((match[amount + 2] or "").lower(), "")
        sign = "minus " if match.group().startswith("-") else ""
        if magnitude:
            return f"{sign}{number(written)} {magnitude} {many}"
        whole, _, part = written.replace(",", "").replace(" ", "").partition(".")
        if not part or len(part) > 2 or not cent:
            return f"{sign}{number(written)} {one if is_one(written) else many}"
        minor = int(part.ljust(2, "0"))
        small = f"{cardinal(minor)} {cent if minor == 1 else cents}"
        big = f"{number(whole)} {one if is_one(whole) else many}"
        if not minor:
            return sign + big
        return sign + (small if int(whole) == 0 else f"{big} and {small}")

    return reading


def _measure(match: re.Match[str]) -> str:
    one, many = _ALL_UNITS[match[2]]
    sign = "minus " if match.group().startswith("-") else ""
    return f"{sign}{number(match[1])} {one if is_one(match[1]) else many}"


def _continental_measure(match: re.Match[str]) -> str:
    """ "2,5 kg": a comma between a number and its unit's decimals separates no thousands."""
    unit = "percent" if match[2] == "%" else _ALL_UNITS[match[2]][1]
    return f"{number(match[1].replace(',', '.'))} {unit}"


def _feet_and_inches(match: re.Match[str]) -> str:
    feet, inches = match[1], match[2]
    high = f"{number(feet)} {'foot' if is_one(feet) else 'feet'}"
    return f"{high} {number(inches)} {'inch' if is_one(inches) else 'inches'}"


def _mixed(match: re.Match[str]) -> str | None:
    if int(match[3]) < 2:
        return None
    part = fraction(int(match[2]), int(match[3]))
    return f"{cardinal(int(match[1]))} and {'a half' if part == 'one half' else part}"


def _fraction(match: re.Match[str]) -> str | None:
    top, bottom = int(match[1]), int(match[2])
    return fraction(top, bottom) if 0 < top < bottom and bottom > 1 else None


def _slash(match: re.Match[str]) -> str:
    first, second = cardinal(int(match[1])), cardinal(int(match[2]))
    if match.group() in ("24/7", "50/50"):
        return f"{first} {second}"
    return f"{first} {'out of' if first == second else 'over'} {second}"


def _signed(match: re.Match[str]) -> str:
    return ("minus " if match.group().startswith("-") else "") + number(match[1])


def _scaled(match: re.Match[str]) -> str:
    return f"{number(match[1])} {_MAGNITUDES[match[2].lower()]}"


MONEY: tuple[Rule, ...] = (
    rule(rf"{_MINUS}((?:US)?\$|[€£¥₹])[ ]?{_MONEY}{_MAGNITUDE}", _money(1, 2)),
    rule(rf"\b({_CODES})[ ]?{_MONEY}{_MAGNITUDE}", _money(1, 2)),
    rule(rf"(?<![\w.,]){_MONEY}{_MAGNITUDE}[ ]?([$€£¥₹]|(?:{_CODES})\b)", _money(4, 1)),
    rule(r"(?<![\w.,-])(\d{1,3}(?:[ ]000)+)(?![ ]?[\w,]?\d|\.\d)", lambda m: number(m[1])),
    rule(rf"(?<=[\w$€£%])[ ]?/[ ]?({_PER})\b", lambda m: f" per {_PER_NAMES.get(m[1], m[1])}"),
)
"""Amounts of money; these claim before telephone numbers and codes."""

MEASURES: tuple[Rule, ...] = (
    rule(r"(?<![\w.,])(\d{1,3}(?:,000)+)s\b", lambda m: number(m[1]).removeprefix("one ") + "s"),
    rule(rf"{_MINUS}(?<![\w.])({NUMBER})[ ]?%", lambda m: f"{_signed(m)} percent"),
    rule(rf"(?<![\w.,])(\d{{1,3}},\d{{1,2}})[ ]?({_UNIT}|%)(?!\w)", _continental_measure),
    rule(r"(?<![\w.,])(0,\d{1,3})(?![\w,]|\.\d)", lambda m: number(m[1].replace(",", "."))),
    rule(r"(?<![\w.])(\d{1,4})[x×](\d{1,4})(?!\w)", lambda m: f"{number(m[1])} by {number(m[2])}"),
    rule(r"(?<![\w.,])(\d{1,2})[ ]?ft\.?[ ](\d{1,2})[ ]?in\b\.?", _feet_and_inches),
    rule(rf"{_MINUS}(?<![\w.])({NUMBER})[ ]?({_UNIT})(?![\w²³])", _measure),
    rule(r"(?<![\w.,])(\d)'[ ]?(\d\d?)(?:\"|'')?(?!\w)", lambda m: f"{number(m[1])} foot {number(m[2])}"),
    rule(r"(?<![\w.,])(\d[\d,]*)(?:st|nd|rd|th)\b", lambda m: ordinal(int(m[1].replace(",", "")))),
    rule(rf"(?<![\w.])({NUMBER})(k|M|bn)\b", _scaled),
    rule(rf"(?<![\w.])({NUMBER})[x×](?!\w)", lambda m: f"{number(m[1])} times"),
)
"""Numbers with something attached; these claim before codes."""

NUMBERS: tuple[Rule, ...] = (
    rule(r"(?<![\w/.])(\d{1,3})[ ](\d{1,2})/(\d{1,3})(?![\w/])", _mixed),
    rule(r"(?<![\w/.])9/11(?![\w/])", "nine eleven"),
    rule(r"(?<![\w/.])(\d{1,3})/(\d{1,4})(?![\w/])", _fraction),
    rule(r"(?<![\w/.])(\d{1,4})/(\d{1,4})(?![\w/])", _slash),
    rule(r"(?:(?<=[\d%kKMB])|(?<=[AaPp][Mm])|(?<=[ap]\.m\.))[ ]?[-–—][ ]?(?=[$€£¥]?\d)", " to "),
    rule(r"(?<=\d):(?=\d)", " to "),
    rule(r"(?<![\d.,$€£])((?:1[1-9]|20)\d\d)(?![\d%]|[.,]\d)", lambda m: year(int(m[1]))),
    rule(rf"{_MINUS}(?<![\d.])({NUMBER})", _signed),
    rule(r"\d+", lambda m: digits(m.group())),
)
"""Whatever digits are left; the last of these claims every one."""
