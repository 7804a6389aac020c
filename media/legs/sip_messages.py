"""What we read out of raw SIP and SDP text that PJSIP has already accepted. Pure, and never raises."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from urllib.parse import unquote

COMPACT = {
    "from": "f",
    "to": "t",
    "via": "v",
    "call-id": "i",
    "contact": "m",
    "content-type": "c",
    "content-length": "l",
    "supported": "k",
    "subject": "s",
    "refer-to": "r",
    "referred-by": "b",
    "event": "o",
}
"""Short forms of header names (RFC 3261 section 7.3.3)."""

_URI = re.compile(r"<?\s*sips?:(?:([^@>\s]*)@)?(\[[^\]]*\]|[^:;>?\s]+)", re.IGNORECASE)
_TEL = re.compile(r"<?\s*tel:([^;>\s]+)", re.IGNORECASE)
_COMMA = re.compile(r'(?:"(?:[^"\\]|\\.)*"|<[^>]*>|[^,<"])+')
"""One part of a list; commas within quotes and angle brackets belong to it."""
_RTPMAP = re.compile(r"a=rtpmap:(\d+)\s+([^/\s]+)/")
_STATIC = {0: "PCMU", 8: "PCMA", 9: "G722"}
"""Payload types that need no rtpmap (RFC 3551 section 6)."""


def header_lines(message: str) -> Iterator[tuple[str, str]]:
    """Every header as (lower-case name, value), folded lines joined, in the message's order."""
    name, value = "", ""
    for line in message.split("\n")[1:]:
        line = line.rstrip("\r")
        if not line:
            break
        if line[0] in " \t":
            value += " " + line.strip()
            continue
        if name:
            yield name, value.strip()
        name, colon, value = line.partition(":")
        name = name.strip().lower() if colon else ""
    if name:
        yield name, value.strip()


def header(message: str, name: str) -> str:
    """Value of the first header of that name, folded lines joined; "" when there is none."""
    wanted = {name.lower(), COMPACT.get(name.lower(), name.lower())}
    return next((value for key, value in header_lines(message) if key in wanted), "")


def all_values(message: str, name: str) -> list[str]:
    """Every value of a header that may be repeated or hold a list (RFC 3261 section 7.3.1), one by one."""
    wanted = {name.lower(), COMPACT.get(name.lower(), name.lower())}
    values = [value for key, value in header_lines(message) if key in wanted]
    return [part.strip() for value in values for part in _COMMA.findall(value) if part.strip()]


def cseq(message: str) -> int:
    """The number in CSeq; 0 when there is none."""
    number = header(message, "cseq").partition(" ")[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) <= 10 else 0


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


def bare_uri(address: str) -> str:
    """The URI of an address without the name and the header parameters around it."""
    found = re.search(r"<([^>]*)>", address)
    return found[1] if found else address.partition(";")[0].strip()


def request_uri(message: str) -> str:
    """The URI in a request's first line."""
    parts = message.partition("\n")[0].split()
    return parts[1] if len(parts) > 1 else ""


def _audio_section(lines: Sequence[str]) -> tuple[int, int]:
    """Where the first audio line that is in use begins and its section ends; port 0 means off (RFC 3264).

    The first one that is off, when all are; (0, 0) when there is none.
    """
    media = [i for i, line in enumerate(lines) if line.startswith("m=")] + [len(lines)]
    sections = [pair for pair in itertools.pairwise(media) if lines[pair[0]].startswith("m=audio ")]
    used = [pair for pair in sections if not re.match(r"m=audio 0(?:/\d+)?\s", lines[pair[0]])]
    return (used or sections or [(0, 0)])[0]


def audio_codecs(sdp: str) -> tuple[str, ...]:
    """Names of the codecs of the audio line in use, in its order; a payload without a name is its number."""
    lines = sdp.splitlines()
    start, end = _audio_section(lines)
    if start == end:
        return ()
    names = dict(_STATIC)
    for line in lines[start:end]:
        if found := _RTPMAP.match(line):
            names[int(found.group(1))] = found.group(2)
    numbers = [int(word) for word in lines[start].split()[3:] if word.isascii() and word.isdigit()]
    return tuple(names.get(number, str(number)) for number in numbers)


class Keying(StrEnum):
    """How the audio of an offer may be encrypted."""

    NONE = "none"
    """Not at all."""
    OFFERED = "offered"
    """Keys are there (RFC 4568), but plain RTP will do."""
    REQUIRED = "required"
    """SRTP or nothing, with keys in SDP."""
    FOREIGN = "foreign"
    """SRTP or nothing, with keys that we do not exchange: DTLS (RFC 5764), or none at all."""


def keying(sdp: str) -> Keying:
    """What the audio line in use asks for."""
    lines = sdp.splitlines()
    start, end = _audio_section(lines)
    words = lines[start].split() if start != end else []
    secure = len(words) > 2 and "SAVP" in words[2]
    keys = any(line.startswith("a=crypto:") for line in lines[start:end])
    if secure:
        return Keying.REQUIRED if keys else Keying.FOREIGN
    return Keying.OFFERED if keys else Keying.NONE


def common_codecs(offered: Sequence[str], ours: Sequence[str]) -> tuple[str, ...]:
    """Our codecs that the other side offers too, in our order; names compare without case (RFC 4566)."""
    theirs = {name.lower() for name in offered}
    return tuple(name for name in ours if name.lower() in theirs)


def prefer_codecs(sdp: str, ours: Sequence[str], offered: Sequence[str] | None) -> str:
    """The SDP with its audio line in use cut to our codecs in our order; events and noise stay at its end.

    With `offered` (we answer), only the first codec that both sides have is kept, so that our order wins. The
    SDP comes back unchanged when nothing would be left.
    """
    keep = common_codecs(offered, ours)[:1] if offered is not None else tuple(ours)
    lines = sdp.splitlines()
    at, end = _audio_section(lines)
    if at == end or not keep:
        return sdp
    names: dict[str, str] = {str(number): name for number, name in _STATIC.items()}
    for line in lines[at:end]:
        if found := _RTPMAP.match(line):
            names[found.group(1)] = found.group(2)
    words = lines[at].split()
    order = _ordered(words[3:], names, keep)
    if not order:
        return sdp
    gone = set(words[3:]) - set(order)
    lines[at] = " ".join(words[:3] + order)
    kept = [line for i, line in enumerate(lines) if not at < i < end or not _describes(line, gone)]
    return "\r\n".join(kept) + "\r\n"


def mono_opus(sdp: str) -> str:
    """The SDP with Opus promised in one channel (`sprop-stereo`, RFC 7587 section 6.1).

    Unless we say so, PJMEDIA runs two channels toward a peer that likes stereo, and no leg of ours hears two.
    A peer's stereo is decoded to one channel all the same.
    """
    lines = sdp.splitlines()
    start, end = _audio_section(lines)
    numbers = {
        found[1] for line in lines[start:end] if (found := re.match(r"a=rtpmap:(\d+)\s+opus/", line, re.I))
    }
    for i in range(start, end):
        found = re.match(r"a=fmtp:(\d+)\s", lines[i])
        if found and found[1] in numbers and "sprop-stereo" not in lines[i]:
            lines[i] += ";sprop-stereo=0"
    return "\r\n".join(lines) + "\r\n" if numbers else sdp


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
    """RTP port of the audio line in use; 0 when there is none."""
    lines = sdp.splitlines()
    start, end = _audio_section(lines)
    found = re.match(r"m=audio (\d+)", lines[start]) if start != end else None
    return int(found.group(1)) if found else 0
