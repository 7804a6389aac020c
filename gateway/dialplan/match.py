"""Which calls a pattern means: exact words, globs, or regular expressions, over normalised addresses."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from engines.base import Residency
from gateway.dialplan.actions import Action, ConnectAgent, Reject

MAX_ADDRESS = 128
"""Characters of an address that are looked at; longer ones match nothing but `*`."""

_MAX_TRIES = 400_000
"""Ways in which a regular expression may be tried on the longest address: about 10 ms at worst."""

_SEPARATORS = re.compile(r"[\s.()\-]+")
_NUMBER = re.compile(r"\+?[\d*#]+")


def normalise(address: str) -> str:
    """An address as patterns see it.

    Scheme, host and parameters of a SIP or tel URI go, the visual separators of a number go (RFC 3966
    section 5.1.1), letters become small.
    """
    text = re.sub(r"^(sips?|tel):", "", address.strip(), flags=re.IGNORECASE)
    text = text.partition("@")[0].partition(";")[0].strip().lower()
    bare = _SEPARATORS.sub("", text)
    return bare if _NUMBER.fullmatch(bare) else text


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern, ready to match."""

    written: str
    regex: re.Pattern[str]
    any_plus: bool
    """Whether `+49…` matches too where the pattern was written without the plus."""

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
        return self.any_plus and address.startswith("+") and self.regex.fullmatch(address[1:]) is not None


@dataclass(frozen=True, slots=True)
class Match:
    """The calls that a route is for; an empty list of patterns means everybody."""

    called: tuple[Pattern, ...] = ()
    caller: tuple[Pattern, ...] = ()
    trunk: tuple[Pattern, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """One rule: the calls it is for and what to do with them."""

    name: str
    match: Match
    actions: tuple[Action, ...]
    source: str = ""
    """File and line, for logs and the call's record."""
    data: Residency | None = None
    """How far these calls' sound and words may go, where that is less far than the node allows."""

    @property
    def agents(self) -> frozenset[str]:
        """Names of the agents it connects."""
        return frozenset(action.agent for action in self.actions if isinstance(action, ConnectAgent))

    @property
    def refuses(self) -> Reject | None:
        """The refusal, when that is all that the route does in the end."""
        last = self.actions[-1]
        return last if isinstance(last, Reject) else None


def compile_pattern(written: str) -> Pattern:
    """Read a pattern: `/…/` is a regular expression, `*`, `?` and `[…]` make a glob, the rest is exact.

    Raises `ValueError` with the reason and the cure.
    """
    if len(written) > MAX_ADDRESS:
        raise ValueError(f"longer than {MAX_ADDRESS} characters; shorten it")
    if len(written) > 1 and written.startswith("/") and written.endswith("/"):
        return Pattern(written, _regex(written[1:-1]), any_plus=False)
    is_glob = any(c in written for c in "*?[")
    text = written.strip().lower() if is_glob else normalise(written)
    if is_glob and not re.search(r"[a-z]", text):
        text = re.sub(r"[\s.()]+", "", text)
    source = fnmatch.translate(text) if is_glob else re.escape(text)
    return Pattern(written, re.compile(source), any_plus=bool(text) and text[0] in "0123456789[?")


def any_of(patterns: Sequence[Pattern], address: str) -> bool:
    """Whether no pattern asks, or one of them means the address."""
    return not patterns or any(pattern.matches(address) for pattern in patterns)


def _regex(source: str) -> re.Pattern[str]:
    """Compile what surely answers fast.

    Callers choose what is matched, on the loop's time: a pattern that takes exponential time for some input
    would let anybody stop every call of the node with one INVITE.
    """
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
