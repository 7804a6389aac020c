"""What is wrong in a file that a person wrote: where, what, and the cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration or dialplan, told so that its author can mend it."""

    source: str
    """The file, or "environment"."""
    line: int
    """Counts from 1; 0 where lines mean nothing."""
    field: str
    """Dotted path of the field, as in `sip.port`; "" for the file as a whole."""
    what: str
    cure: str = ""

    def __str__(self) -> str:
        where = f"{self.source}:{self.line}" if self.line else self.source
        field = f" {self.field}:" if self.field else ""
        cure = f"; {self.cure}" if self.cure else ""
        return f"{where}:{field} {self.what}{cure}"


def nearest(name: str, known: Iterable[str]) -> str:
    """The cure for an unknown name: the known one that looks most like it, else the list of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"known here: {', '.join(names)}" if names else "nothing is known here"


def listing(problems: Iterable[Problem]) -> str:
    """All problems, one per line, in the order of the file."""
    return "\n".join(str(p) for p in sorted(problems, key=lambda p: (p.source, p.line, p.field)))
