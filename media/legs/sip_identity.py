"""Who calls, as the headers of an INVITE tell beside its addresses. Pure, and never raises."""

from __future__ import annotations

import re
from collections.abc import Sequence

from media.legs import sip_messages as messages
from media.legs.base import Parties

MOST_HEADERS = 64
LONGEST_VALUE = 512
"""Characters of a value that are kept."""
_SECRET = frozenset({"authorization", "proxy-authorization"})
_DISPLAY = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^<"]*?))\s*<')
_LONG = {short: name for name, short in messages.COMPACT.items()}


def parties_of(message: str, trunk: str, source: str) -> Parties:
    """Everything that an INVITE says of its parties."""
    return Parties(
        caller=messages.user_part(messages.header(message, "from")),
        called=messages.user_part(messages.request_uri(message)),
        trunk=trunk,
        remote=source,
        display=display_name(messages.header(message, "from")),
        forwarded_from=forwarded_from(message),
        headers=headers_of(message),
    )


def headers_of(message: str) -> tuple[tuple[str, str], ...]:
    """The first headers by lower-case long name, values cut short, secrets left out."""
    kept: list[tuple[str, str]] = []
    for name, value in messages.header_lines(message):
        name = _LONG.get(name, name)
        if name in _SECRET:
            continue
        if len(kept) == MOST_HEADERS:
            break
        kept.append((name, value[:LONGEST_VALUE]))
    return tuple(kept)


def display_name(address: str) -> str:
    """The name before an address, without its quotes (RFC 3261 section 25.1); "" when there is none."""
    found = _DISPLAY.match(address)
    if not found:
        return ""
    name = re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else found[2]
    return name.strip()[:128] if name.isprintable() else ""


def forwarded_from(message: str) -> str:
    """User part of whoever sent the call on last; "" when nobody did.

    The topmost Diversion is the latest (RFC 5806 section 4.1); in History-Info the last entry is where the
    call goes now, and the one before it where it came from (RFC 7044 section 5).
    """
    diversions = messages.all_values(message, "diversion")
    if diversions:
        return messages.user_part(diversions[0])
    history = messages.all_values(message, "history-info")
    return messages.user_part(history[-2]) if len(history) > 1 else ""


_OURS = frozenset(
    {
        "via", "from", "to", "call-id", "cseq", "contact", "max-forwards", "route", "record-route", "require",
        "supported", "allow", "accept", "content-type", "content-length", "content-encoding",
        "content-disposition", "authorization", "proxy-authorization", "session-expires", "min-se",
        "user-agent", "expires", "proxy-require", "rack", "rseq", "replaces", "identity",
    }
)  # fmt: skip
"""Headers that the stack writes; two of them would contradict each other."""
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,64}\Z")


def header_problem(headers: Sequence[tuple[str, str]]) -> str:
    """Why these may not be added to a request of ours, in an operator's words; "" when they may."""
    if len(headers) > MOST_HEADERS:
        return f"at most {MOST_HEADERS} headers may be added"
    for name, value in headers:
        if not _TOKEN.match(name):
            return f"{name[:64]!r} is no header name"
        if name.lower() in _OURS or _LONG.get(name.lower()) in _OURS:
            return f"the header {name} is written by the SIP stack itself"
        if len(value) > LONGEST_VALUE or not value.isprintable():
            return f"the value of {name} must be printable, at most {LONGEST_VALUE} characters"
    return ""
