"""What we read out of raw SIP and SDP text that PJSIP has already accepted. Pure, and never raises."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

_COMPACT = {
    "from": "f",
    "to": "t",
    "via": "v",
    "call-id": "i",
    "contact": "m",
    "content-type": "c",
    "content-length": "l",
    "supported": "k",
    "subject": "s",
}
"""Short forms of header names (RFC 3261 section 7.3.3)."""

_URI = re.compile(r"<?\s*sips?:(?:([^@>\s]*)@)?(\[[^\]]*\]|[^:;>?\s]+)", re.IGNORECASE)
_TEL = re.compile(r"<?\s*tel:([^;>\s]+)", re.IGNORECASE)
_RTPMAP = re.compile(r"a=rtpmap:(\d+)\s+([^/\s]+)/")
_STATIC = {0: "PCMU", 8: "PCMA", 9: "G722"}
"""Payload types that need no rtpmap (RFC 3551 section 6)."""


def header(message: str, name: str) -> str:
    """Value of the first header of that name, folded lines joined; "" when there is none."""
    wanted = {name.lower(), _COMPACT.get(name.lower(), name.lower())}
    value: str | None = None
    for line in message.split("\n")[1:]:
        line = line.rstrip("\r")
        if not line:
            break
        if line[0] in " \t":
            if value is not None:
                value += " " + line.strip()
            continue
        if value is not None:
            break
        key, colon, rest = line.partition(":")
        if colon and key.strip().lower() in wanted:
            value = rest.strip()
    return value or ""


def body(message: str) -> str:
    """Everything after the headers."""
    return re.split(r"\r?\n\r?\n", message, maxsplit=1)[-1] if re.search(r"\r?\n\r?\n", message) else ""


def method(message: str) -> str:
    """Method of a request; "" for a response."""
    first = message.partition(" ")[0]
    return "" if first.upper().startswith("SIP/") else first


def user_part(address: str) -> str:
    """User of a SIP address or number of a tel one, unescaped, without parameters; "" when there is none.

    An escape that hides a control character stays as it is, so that no log or rule can be fooled by it.
    """
    found = _URI.search(address) or _TEL.search(address)
    user = (found.group(1) or "").partition(";")[0].partition(":")[0] if found else ""
    plain = unquote(user)
    return plain if plain.isprintable() else user


def request_uri(message: str) -> str:
    """The URI in a request's first line."""
    parts = message.partition("\n")[0].split()
    return parts[1] if len(parts) > 1 else ""


def audio_codecs(sdp: str) -> tuple[str, ...]:
    """Names of the codecs of the first audio line of an SDP, in its order; unknown payloads are left out."""
    numbers: list[int] = []
    names = dict(_STATIC)
    inside = False
    for line in sdp.splitlines():
        if line.startswith("m="):
            if inside:
                break
            inside = line.startswith("m=audio ")
            numbers = [int(word) for word in line.split()[3:] if word.isdigit()] if inside else []
        elif inside and (found := _RTPMAP.match(line)):
            names[int(found.group(1))] = found.group(2)
    return tuple(names[number] for number in numbers if number in names)


def common_codecs(offered: Sequence[str], ours: Sequence[str]) -> tuple[str, ...]:
    """Our codecs that the other side offers too, in our order; names compare without case (RFC 4566)."""
    theirs = {name.lower() for name in offered}
    return tuple(name for name in ours if name.lower() in theirs)


def prefer_codecs(sdp: str, ours: Sequence[str], offered: Sequence[str] | None) -> str:
    """The SDP with its first audio line cut to our codecs in our order; events and noise stay at its end.

    With `offered` (we answer), only the first codec that both sides have is kept, so that our order wins. The
    SDP comes back unchanged when nothing would be left.
    """
    keep = common_codecs(offered, ours)[:1] if offered is not None else tuple(ours)
    lines = sdp.splitlines()
    at = next((i for i, line in enumerate(lines) if line.startswith("m=audio ")), None)
    if at is None or not keep:
        return sdp
    names: dict[str, str] = {str(number): name for number, name in _STATIC.items()}
    for line in lines[at + 1 :]:
        if line.startswith("m="):
            break
        if found := _RTPMAP.match(line):
            names[found.group(1)] = found.group(2)
    words = lines[at].split()
    order = _ordered(words[3:], names, keep)
    if not order:
        return sdp
    gone = set(words[3:]) - set(order)
    lines[at] = " ".join(words[:3] + order)
    kept = [line for i, line in enumerate(lines) if i < at or not _describes(line, gone)]
    return "\r\n".join(kept) + "\r\n"


def _ordered(payloads: list[str], names: dict[str, str], keep: Sequence[str]) -> list[str]:
    rank = {name.lower(): i for i, name in enumerate(keep)}
    chosen = [number for number in payloads if names.get(number, "").lower() in rank]
    if not chosen:
        return []
    chosen.sort(key=lambda number: rank[names[number].lower()])
    extras = [n for n in payloads if names.get(n, "").lower() in ("telephone-event", "cn")]
    return chosen + extras


def _describes(line: str, gone: set[str]) -> bool:
    found = re.match(r"a=(?:rtpmap|fmtp):(\d+)\s", line)
    return bool(found and found.group(1) in gone)


def audio_port(sdp: str) -> int:
    """RTP port of the first audio line; 0 when there is none or it is off."""
    found = re.search(r"^m=audio (\d+)", sdp, re.MULTILINE)
    return int(found.group(1)) if found else 0
