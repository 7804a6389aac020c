"""`${name}` in a dialplan's texts: read strictly, filled once, and escaped for the place where it stands.

A value comes from a caller, from his words or from a server, so it is never looked at again for references,
and never reaches a place whose grammar it could leave.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)(?::-(?P<default>[^{}]*))?\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_TARGET = re.compile(r"[A-Za-z0-9+*#._-]{1,64}")

LONGEST_VALUE = 2000
"""Characters of a variable that are kept."""
MOST_VARIABLES = 100
"""Variables that a call may have; more are not set."""
HEADER = "header."
"""Variables that begin so hold the header of the INVITE that follows, in small letters."""
BUILT_IN = frozenset(
    {"caller", "called", "trunk", "call_id", "route", "gathered", "digits", "failure", "recording",
     "transcript", "answer"}
)  # fmt: skip
"""Variables that a call has without any `set`."""


def is_name(name: str) -> bool:
    """Whether a variable may be called so."""
    return _NAME.fullmatch(name) is not None


def check(text: str) -> str:
    """The text itself. Raises `ValueError` for a reference that is none."""
    if "${" in _REFERENCE.sub("", text):
        raise ValueError(
            "has a `${` that is no variable; write ${name}, ${name:-default}, or $${ for the characters"
        )
    return text


def names(text: str) -> frozenset[str]:
    """The variables that a text refers to."""
    return frozenset(found["name"] for found in _REFERENCE.finditer(text) if found["name"])


def fill(text: str, values: Mapping[str, str], escape: Callable[[str], str]) -> str:
    """The text with each reference replaced, once, by its escaped value; an unknown one by its default or "".

    Raises what `escape` raises.
    """

    def value(found: re.Match[str]) -> str:
        name = found["name"]
        return escape(values.get(name) or found["default"] or "") if name else "${"

    return _REFERENCE.sub(value, text)


def plain(value: str) -> str:
    """For a voice, a log's field or JSON: printable, and not endless."""
    return "".join(c if c.isprintable() else " " for c in value[:LONGEST_VALUE])


def in_url(value: str) -> str:
    """For a URL's path or query (RFC 3986 section 2.1): one component, whatever it holds."""
    return quote(value[:LONGEST_VALUE], safe="")


def dialled(value: str) -> str:
    """For an address to dial: a number or a name, and nothing that could add a host or a parameter.

    Raises `ValueError` for anything else; what was refused is not in its text.
    """
    bare = re.sub(r"[\s()]+", "", value)
    if not _TARGET.fullmatch(bare):
        raise ValueError("a variable in the target holds no number or name that can be dialled")
    return bare
