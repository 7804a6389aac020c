"""Patterns for addresses, headers and answers: exact words, globs, or regular expressions."""

from __future__ import annotations

import fnmatch
import functools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.dialplan.numbers import e164, normalise

MAX_ADDRESS = 128
"""Characters of an address that are looked at; longer ones match nothing but `*`."""

_MAX_TRIES = 400_000
"""Ways in which a regular expression may be tried on the longest address: about 10 ms at worst."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern, ready to match."""

    written: str
    regex: re.Pattern[str]
    any_plus: bool
    """Whether `+49…` matches too where the pattern was written without the plus."""
    number: str = ""
    """The E.164 number that an exact pattern means, where it means one."""

    @property
    def exact(self) -> bool:
        """Whether it means one address, which can be dialled as it is written."""
        return bool(self.written) and not any(c in self.written for c in "*?[/ ")

    def matches(self, address: str) -> bool:
        """Whether a normalised address is meant."""
        if len(address) > MAX_ADDRESS:
            return self.written == "*"
        if self.regex.fullmatch(address):
            return True
        if self.number and address == self.number:
            return True
        return self.any_plus and address.startswith("+") and self.regex.fullmatch(address[1:]) is not None


def compile_pattern(written: str, region: str = "") -> Pattern:
    """Read a pattern: `/…/` is a regular expression, `*`, `?` and `[…]` make a glob, the rest is exact.

    Raises `ValueError` with the reason and the cure.
    """
    if is_regex(written):
        return Pattern(_short(written), safe_regex(written[1:-1]), any_plus=False)
    is_glob = any(c in _short(written) for c in "*?[")
    text = written.strip().lower() if is_glob else normalise(written)
    if is_glob and not re.search(r"[a-z]", text):
        text = re.sub(r"[\s.()]+", "", text)
    source = fnmatch.translate(text) if is_glob else re.escape(text)
    number = "" if is_glob else e164(text, region)
    any_plus = bool(text) and text[0] in "0123456789[?"
    return Pattern(written, re.compile(source), any_plus, number)


def compile_text(written: str) -> Pattern:
    """Read a pattern for any text, such as a header's value: as `compile_pattern`, but sees no number in it.

    Raises `ValueError` with the reason and the cure.
    """
    if is_regex(written):
        return Pattern(_short(written), safe_regex(written[1:-1]), any_plus=False)
    text = _short(written).strip().lower()
    return Pattern(written, re.compile(fnmatch.translate(text)), any_plus=False)


def any_of(patterns: Sequence[Pattern], addresses: str | Iterable[str]) -> bool:
    """Whether no pattern asks, or one of them means the address, in one of its spellings."""
    if not patterns:
        return True
    spelt = (addresses,) if isinstance(addresses, str) else tuple(addresses)
    return any(pattern.matches(address) for pattern in patterns for address in spelt)


def is_regex(written: str) -> bool:
    """Whether it is written as `/…/`."""
    return len(written) > 1 and written.startswith("/") and written.endswith("/")


@functools.lru_cache(maxsize=512)
def safe_regex(source: str) -> re.Pattern[str]:
    """Compile what surely answers fast, on texts of at most `MAX_ADDRESS` characters.

    Callers choose what is matched, on the loop's time: a pattern that takes exponential time for some input
    would let anybody stop every call of the node with one INVITE. Raises `ValueError`.
    """
    _short(source)
    plain = re.sub(r"\[\^?\]?[^\]]*\]", "x", re.sub(r"\\.", "x", source))
    plain = re.sub(r"([*+?}])[?+]", r"\1", plain.replace("(?", "("))
    if re.search(r"\)[*+{]", plain):
        raise ValueError("repeats a group, which can take forever; repeat single characters, as in [0-9]+")
    repeats = len(re.findall(r"[*+]|\{\d*,\d*\}", plain))
    choices = plain.count("?") + plain.count("|")
    if MAX_ADDRESS**repeats / math.factorial(repeats) * 2**choices > _MAX_TRIES:
        raise ValueError("offers too many ways to match; write several patterns, or a glob like 49*")
    if re.search(r"\\[1-9]|\(\?P=", source):
        raise ValueError("refers back to a group, which can take forever; write the text out")
    try:
        return re.compile(source, re.IGNORECASE | re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression ({error}); mend it, or write a glob like 49*") from None


def _short(written: str) -> str:
    if len(written) > MAX_ADDRESS:
        raise ValueError(f"longer than {MAX_ADDRESS} characters; shorten it")
    return written
