"""Whether one match takes every call that another one would: never said of two that only may overlap."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.dialplan.match import Match
from gateway.dialplan.patterns import Pattern, is_regex

_LITERAL = re.compile(r"[^*?\[]*")


def covers(wide: Match, narrow: Match) -> bool:
    """Whether every call that `narrow` means is meant by `wide` too."""
    if wide.never or narrow.never:
        return False
    numbers = (wide.called, narrow.called), (wide.caller, narrow.caller), (wide.trunk, narrow.trunk)
    if not all(_all_of(one, other) for one, other in numbers):
        return False
    if wide.times and wide.times != narrow.times:
        return False
    if not (wide.up <= narrow.up and wide.down <= narrow.down):
        return False
    asked = dict(narrow.headers)
    return all(name in asked and _all_of(patterns, asked[name]) for name, patterns in wide.headers)


def everybody(patterns: Sequence[Pattern]) -> bool:
    """Whether anything at all is meant."""
    return not patterns or any(_any(pattern) for pattern in patterns)


def _all_of(wide: Sequence[Pattern], narrow: Sequence[Pattern]) -> bool:
    if everybody(wide):
        return True
    return bool(narrow) and all(any(_holds(one, other) for one in wide) for other in narrow)


def _any(pattern: Pattern) -> bool:
    return pattern.written in ("*", "/.*/")


def _holds(wide: Pattern, narrow: Pattern) -> bool:
    """Whether every address of the one is an address of the other."""
    if wide.written == narrow.written:
        return True
    if is_regex(narrow.written):
        return False
    glob = _glob(narrow)
    if glob is None:
        return wide.matches(_bare(narrow.written)) or bool(narrow.number) and wide.matches(narrow.number)
    # `49*` holds `4930*`: what begins like this goes on anyhow.
    mine = _glob(wide)
    return (
        mine is not None
        and mine.endswith("*")
        and _LITERAL.fullmatch(mine[:-1]) is not None
        and _prefix(glob).startswith(mine[:-1])
    )


def _glob(pattern: Pattern) -> str | None:
    """The pattern as it is compared, when it is a glob."""
    if is_regex(pattern.written) or not any(c in pattern.written for c in "*?["):
        return None
    return _bare(pattern.written)


def _bare(written: str) -> str:
    text = written.strip().lower()
    return text if re.search(r"[a-z]", text) else re.sub(r"[\s.()]+", "", text).replace("-", "")


def _prefix(glob: str) -> str:
    found = _LITERAL.match(glob)
    return found[0] if found else ""
