"""Answers (RFC 8829) and our side of an ICE restart (RFC 8840), written. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from aioice import Candidate

from media.legs.webrtc_sdp import IceLogin, Line, Offer


@dataclass(frozen=True, slots=True)
class OurSide:
    """What the answer tells of us."""

    ice: IceLogin
    fingerprint: str
    """SHA-256 of our certificate."""
    candidates: Sequence[Candidate]
    ssrc: int


def write_answer(offer: Offer, ours: OurSide) -> str:
    """The answer: one audio line, the data channels if offered, everything else refused."""
    taken = [i for i in (offer.audio, offer.data) if i is not None]
    lines = [
        "v=0",
        f"o=- {secrets.randbits(62)} 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        *([f"a=group:BUNDLE {' '.join(offer.lines[i].mid for i in taken)}"] if offer.bundled else []),
        "a=extmap-allow-mixed",
        "a=msid-semantic: WMS *",
    ]
    for number, line in enumerate(offer.lines):
        if number == offer.audio:
            lines += _audio(offer, ours, line)
        elif number == offer.data:
            lines += _data(offer, ours, line)
        else:
            lines += [f"m={line.kind} 0 {line.protocol} {line.formats}", "c=IN IP4 0.0.0.0", "a=inactive"]
            lines += [f"a=mid:{line.mid}"] if line.mid else []
    return "\r\n".join(lines) + "\r\n"


def _audio(offer: Offer, ours: OurSide, line: Line) -> list[str]:
    codec, number = offer.codec, offer.payload_type
    events = {pt: clock for pt, clock in offer.events.items() if clock == codec.clock}
    channels = "/2" if codec.name == "opus" else ""
    lines = [
        f"m=audio 9 {line.protocol} {' '.join(map(str, [number, *events]))}",
        "c=IN IP4 0.0.0.0",
        "a=rtcp:9 IN IP4 0.0.0.0",
        f"a={offer.direction}",
        "a=rtcp-mux",
        "a=msid:offhook audio",
        f"a=rtpmap:{number} {codec.name}/{codec.clock}{channels}",
    ]
    if codec.name == "opus":
        # RFC 7587 section 6.1: what comes shall be mono, no wider than what we use, mendable, with pauses.
        lines.append(
            f"a=fmtp:{number} minptime=10;useinbandfec=1;usedtx=1;stereo=0;sprop-stereo=0;"
            f"maxplaybackrate={codec.sample_rate};sprop-maxcapturerate={codec.sample_rate}"
        )
    for pt, clock in events.items():
        lines += [f"a=rtpmap:{pt} telephone-event/{clock}", f"a=fmtp:{pt} 0-15"]
    lines += ["a=ptime:20", f"a=ssrc:{ours.ssrc} cname:offhook", f"a=ssrc:{ours.ssrc} msid:offhook audio"]
    return lines + _transport(ours, line) + _candidates(ours.candidates)


def _data(offer: Offer, ours: OurSide, line: Line) -> list[str]:
    return [
        f"m=application 9 {line.protocol} {line.formats}",
        "c=IN IP4 0.0.0.0",
        f"a=sctp-port:{offer.sctp_port}",
        "a=max-message-size:65536",
        *_transport(ours, line),
    ]


def _transport(ours: OurSide, line: Line) -> list[str]:
    return [
        f"a=ice-ufrag:{ours.ice.ufrag}",
        f"a=ice-pwd:{ours.ice.pwd}",
        f"a=fingerprint:sha-256 {ours.fingerprint}",
        "a=setup:passive",
        *([f"a=mid:{line.mid}"] if line.mid else []),
    ]


def _candidates(candidates: Sequence[Candidate]) -> list[str]:
    return [*(f"a=candidate:{candidate.to_sdp()}" for candidate in candidates), "a=end-of-candidates"]


def write_fragment(mid: str, ice: IceLogin, candidates: Sequence[Candidate]) -> str:
    """Our side of an ICE restart (RFC 9725 section 4.3.3)."""
    lines = [
        f"a=ice-ufrag:{ice.ufrag}",
        f"a=ice-pwd:{ice.pwd}",
        "m=audio 9 UDP/TLS/RTP/SAVPF 0",
        f"a=mid:{mid}",
        *_candidates(candidates),
    ]
    return "\r\n".join(lines) + "\r\n"
