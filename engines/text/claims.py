"""How the reading rules work together: each claims stretches of the text as written, the first claim wins.

Rules see the whole text and never each other's output, so their order alone decides, and every spoken word
can be traced back to what was written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Claim:
    """A stretch of the written text and what to say for it; "" for what is not spoken."""

    start: int
    end: int
    spoken: str


Rule: TypeAlias = Callable[[str], Iterator[Claim]]
Reading: TypeAlias = Callable[[re.Match[str]], str | None]
"""What to say for a match; None leaves it to later rules."""


def rule(pattern: str, reading: Reading | str, *, group: int = 0, flags: int = 0) -> Rule:
    """A rule that claims each match of `pattern`, or one group of it."""
    compiled = re.compile(pattern, flags)

    def claims(text: str) -> Iterator[Claim]:
        for match in compiled.finditer(text):
            spoken = reading if isinstance(reading, str) else reading(match)
            if spoken is not None and match.end(group) > match.start(group):
                yield Claim(match.start(group), match.end(group), spoken)

    return claims


def paired(pattern: str, *, groups: tuple[int, ...]) -> Rule:
    """A rule that silences some groups of each match: marks around text that itself stays."""
    compiled = re.compile(pattern)

    def claims(text: str) -> Iterator[Claim]:
        for match in compiled.finditer(text):
            for group in groups:
                yield Claim(match.start(group), match.end(group), "")

    return claims


def claim_all(text: str, rules: Iterable[Rule]) -> list[Claim]:
    """Apply the rules in order; the claims that hold, sorted, disjoint, without outer white space."""
    taken = bytearray(len(text))
    held: list[Claim] = []
    for claims in rules:
        for claim in map(partial(_trimmed, text), claims(text)):
            if claim.start < claim.end and not any(taken[claim.start : claim.end]):
                taken[claim.start : claim.end] = b"\1" * (claim.end - claim.start)
                held.append(claim)
    return sorted(held, key=lambda claim: claim.start)


def _trimmed(text: str, claim: Claim) -> Claim:
    stretch = text[claim.start : claim.end]
    start = claim.start + len(stretch) - len(stretch.lstrip())
    return Claim(start, max(start, claim.end - (len(stretch) - len(stretch.rstrip()))), claim.spoken)
