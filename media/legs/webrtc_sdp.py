"""Offers (RFC 8829, RFC 8866) and the fragments of trickle ICE (RFC 8840), read.

Whoever can reach us may send anything here: sizes and counts are bounded before anything is parsed, and
whatever the parser chokes on is the sender's mistake.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from aioice import Candidate
from aiortc.sdp import SessionDescription

from media.legs.webrtc_codecs import CODECS, Codec

LARGEST = 32_768
"""Octets of an offer or a fragment."""
_MOST_LINES = 1_000
_MOST_MEDIA = 8
MOST_CANDIDATES = 32
"""Remote addresses that are tried for one call, over its whole life."""
_ICE_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
_ICE_PWD = re.compile(r"[A-Za-z0-9+/]{22,256}")
_MIRRORED = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly"}
"""The answer's direction by the offer's."""
_LINE = re.compile(r"[a-z]=")


class SdpBroken(ValueError):
    """No SDP, or none that a browser would send; says what is wrong."""


class NothingInCommon(ValueError):
    """Sound SDP, but without audio in a codec of ours, or without what WebRTC asks for."""


@dataclass(frozen=True, slots=True)
class IceLogin:
    """What the two sides prove themselves to each other with."""

    ufrag: str
    pwd: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Line:
    """One `m=` section of the offer."""

    kind: str
    mid: str
    protocol: str
    formats: str


@dataclass(frozen=True, slots=True)
class Offer:
    """What we need of an offer."""

    ice: IceLogin
    fingerprints: tuple[tuple[str, str], ...]
    """Hash function and digest of the browser's certificate."""
    candidates: tuple[Candidate, ...]
    codec: Codec
    payload_type: int
    events: dict[int, int]
    """Payload types of telephone events, with their clocks."""
    lines: tuple[Line, ...]
    audio: int
    """Which line is the audio."""
    data: int | None
    """Which line is the data channels; None: there is none."""
    sctp_port: int = 5000
    max_message: int = 65536
    bundled: bool = True
    direction: str = "sendrecv"
    """Of the answer's audio."""


def read_offer(text: str, codecs: Sequence[str]) -> Offer:
    """Judge an offer. Raises `SdpBroken` or `NothingInCommon`, with words for whoever wrote the page."""
    _check_size(text)
    if not text.startswith("v=0"):
        raise SdpBroken("this is not SDP; it must begin with v=0")
    try:
        described = SessionDescription.parse(text)
        return _offer(described, codecs)
    except (SdpBroken, NothingInCommon):
        raise
    except Exception as error:  # the parser asserts, indexes and converts as it goes
        raise SdpBroken(f"the SDP cannot be read ({type(error).__name__})") from None


def _offer(described: SessionDescription, codecs: Sequence[str]) -> Offer:
    media = described.media
    if not media:
        raise SdpBroken("the offer has no m= line")
    if len(media) > _MOST_MEDIA:
        raise SdpBroken(f"the offer has more than {_MOST_MEDIA} m= lines")
    audio = next((i for i, m in enumerate(media) if m.kind == "audio" and "SAVP" in m.profile), None)
    if audio is None:
        raise NothingInCommon("the offer has no audio over UDP/TLS/RTP/SAVPF")
    chosen = media[audio]
    if chosen.direction not in (None, *_MIRRORED):
        raise NothingInCommon("the offer's audio is inactive; offer sendrecv")
    if not chosen.rtcp_mux:
        raise NothingInCommon("the audio must have a=rtcp-mux (RFC 8834)")
    if chosen.dtls is None or not chosen.dtls.fingerprints:
        raise NothingInCommon("the audio must have a=fingerprint and a=setup (DTLS-SRTP, RFC 5763)")
    if chosen.dtls.role == "server":
        raise NothingInCommon("a=setup must be actpass or active; we are the passive side (RFC 9725)")
    login = _login(chosen.ice.usernameFragment or "", chosen.ice.password or "")
    codec, payload_type = _codec(chosen, codecs)
    data = next((i for i, m in enumerate(media) if m.kind == "application" and "SCTP" in m.profile), None)
    group: list[int | str] = next((g.items for g in described.group if g.semantic == "BUNDLE"), [])
    if data is not None and media[data].rtp.muxId not in group:
        data = None
    caps = media[data].sctpCapabilities if data is not None else None
    return Offer(
        ice=login,
        fingerprints=tuple((f.algorithm.lower(), f.value) for f in chosen.dtls.fingerprints[:8]),
        candidates=usable([_aioice(c) for m in media for c in m.ice_candidates]),
        codec=codec,
        payload_type=payload_type,
        events={c.payloadType: c.clockRate for c in chosen.rtp.codecs if _named(c) == "telephone-event"},
        lines=tuple(Line(m.kind, m.rtp.muxId, m.profile, " ".join(map(str, m.fmt[:32]))) for m in media),
        audio=audio,
        data=data,
        sctp_port=(media[data].sctp_port or 5000) if data is not None else 5000,
        max_message=caps.maxMessageSize if caps is not None else 65536,
        bundled=bool(group),
        direction=_MIRRORED[chosen.direction or "sendrecv"],
    )


def _codec(media: object, codecs: Sequence[str]) -> tuple[Codec, int]:
    """The first codec of our list that was offered. PCMU and PCMA need no rtpmap (RFC 3551 section 6)."""
    offered: dict[str, int] = {}
    for codec in media.rtp.codecs:  # type: ignore[attr-defined]
        known = CODECS.get(_named(codec))
        listed = codec.payloadType in media.fmt  # type: ignore[attr-defined]
        if listed and known is not None and codec.clockRate == known.clock:
            offered.setdefault(known.name, codec.payloadType)
    for name, static in (("PCMU", 0), ("PCMA", 8)):
        if static in media.fmt:  # type: ignore[attr-defined]
            offered.setdefault(name, static)
    for name in codecs:
        if name in offered:
            return CODECS[name], offered[name]
    raise NothingInCommon(f"no common codec; offer one of {', '.join(codecs)}")


def _named(codec: object) -> str:
    name = str(codec.mimeType).partition("/")[2].lower()  # type: ignore[attr-defined]
    return {"pcmu": "PCMU", "pcma": "PCMA"}.get(name, name)


def _login(ufrag: str, pwd: str) -> IceLogin:
    if not _ICE_UFRAG.fullmatch(ufrag) or not _ICE_PWD.fullmatch(pwd):
        raise SdpBroken("a=ice-ufrag and a=ice-pwd are missing or malformed (RFC 8839 section 5.4)")
    return IceLogin(ufrag, pwd)


def _aioice(candidate: object) -> Candidate:
    given = candidate
    return Candidate(
        foundation=given.foundation,  # type: ignore[attr-defined]
        component=given.component,  # type: ignore[attr-defined]
        transport=given.protocol,  # type: ignore[attr-defined]
        priority=given.priority,  # type: ignore[attr-defined]
        host=given.ip,  # type: ignore[attr-defined]
        port=given.port,  # type: ignore[attr-defined]
        type=given.type,  # type: ignore[attr-defined]
    )


def usable(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Those that a check may be sent to, at most `MOST_CANDIDATES`.

    UDP only, literal unicast addresses only: a name (mDNS, as browsers give theirs) is never looked up,
    because the browser's own checks reach us and tell where it is, and a name is a way to have us ask around.
    """
    found: dict[tuple[str, int], Candidate] = {}
    for candidate in candidates:
        if len(found) < MOST_CANDIDATES and _may_be_asked(candidate):
            found.setdefault((candidate.host, candidate.port), candidate)
    return tuple(found.values())


def _may_be_asked(candidate: Candidate) -> bool:
    try:
        address = ipaddress.ip_address(candidate.host)
    except ValueError:
        return False
    return (
        candidate.component == 1
        and candidate.transport.lower() == "udp"
        and candidate.type in ("host", "srflx", "relay")
        and 1024 <= candidate.port <= 65535
        and 0 <= candidate.priority < 1 << 32
        and not (address.is_multicast or address.is_unspecified or address.is_reserved)
        and candidate.host != "255.255.255.255"
    )


@dataclass(frozen=True, slots=True)
class Fragment:
    """What a PATCH brings."""

    ice: IceLogin | None
    candidates: tuple[Candidate, ...]


def read_fragment(text: str) -> Fragment:
    """Read an `application/trickle-ice-sdpfrag`. Raises `SdpBroken`."""
    _check_size(text)
    ufrag = pwd = ""
    candidates: list[Candidate] = []
    for row in text.splitlines():
        line = row.strip()
        if not line:
            continue
        if not _LINE.match(line):
            raise SdpBroken("this is no SDP fragment (RFC 8840)")
        name, _, value = line[2:].partition(":") if line.startswith("a=") else ("", "", "")
        if name == "ice-ufrag":
            ufrag = value.strip()
        elif name == "ice-pwd":
            pwd = value.strip()
        elif name == "candidate":
            try:
                candidates.append(Candidate.from_sdp(value))
            except (ValueError, IndexError, AssertionError):
                raise SdpBroken("an a=candidate line is malformed (RFC 8839 section 5.1)") from None
    login = _login(ufrag, pwd) if ufrag or pwd else None
    return Fragment(login, usable(candidates))


def _check_size(text: str) -> None:
    if len(text) > LARGEST:
        raise SdpBroken(f"longer than {LARGEST} characters")
    if text.count("\n") > _MOST_LINES:
        raise SdpBroken(f"more than {_MOST_LINES} lines")
