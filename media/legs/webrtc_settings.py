"""Settings of the WebRTC legs: addresses, audio, limits. Pure data, checked when it is made."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

CODECS = ("opus", "PCMU", "PCMA")
"""Codecs a browser may be answered with, spelled as in SDP's rtpmap (RFC 7874 asks for all three)."""


@dataclass(frozen=True, slots=True)
class TurnRelay:
    """A TURN server that our own side allocates an address at (RFC 8656), with credentials that last."""

    url: str = ""
    """`turn:host[:port][?transport=udp|tcp]` or `turns:host[:port]`; "" for none."""
    user: str = ""
    """Our user name there."""
    password: str = field(default="", repr=False)
    """Password of `user`."""


@dataclass(frozen=True, slots=True)
class WebRtcSettings:
    """Browsers' audio, and how long we wait for it."""

    hosts: tuple[str, ...] = ()
    """Addresses that media sockets are bound to, one UDP port each per call; `*`: all of this machine's;
    none: as `api.host`, so that what only loopback can reach stays on loopback."""
    first_port: int = 0
    """First UDP port of media, 0: any that the system gives."""
    last_port: int = 0
    """Last UDP port of media; each call takes one per address, two while its network changes."""
    advertised: str = ""
    """Address that browsers see in place of ours, where a one-to-one NAT stands before us; "" for none."""
    stun: str = ""
    """`stun:host[:port]` that tells us our public address; "" for none."""
    relay: TurnRelay = field(default_factory=TurnRelay)
    """TURN server that our side uses too, where even it cannot be reached from outside."""
    codecs: tuple[str, ...] = CODECS
    """Codecs taken, in our order of preference."""
    bitrate: int = 32_000
    """Bits per second of Opus towards the browser, 8,000 to 128,000."""
    complexity: int = 5
    """Opus' effort, 0 to 10; 10 costs a third more than 5 and is hardly heard at this rate."""
    least_buffer_ms: int = 20
    """The receive buffer never aims at less, 10 to 120."""
    most_buffer_ms: int = 120
    """Nor at more, up to 500; packets later than that are lost."""
    connect_seconds: float = 15.0
    """1 to 60: a call whose audio path does not stand by then is over."""
    vanish_seconds: float = 10.0
    """2 to 15: a browser of which nothing at all comes for so long (no sound, no reports, no consent, RFC
    7675) is gone, and its call over."""
    half_open: int = 16
    """1 to 1,000: calls whose audio path does not stand yet; the next one is asked to come again."""
    max_calls: int = field(default=300, metadata={"follows": "limits.max_calls"})
    """WebRTC calls at once, half-open ones too."""
    retry_after_s: int = field(default=5, metadata={"follows": "limits.retry_after"})
    """Seconds told to whoever found no place."""

    def __post_init__(self) -> None:
        for host in self.hosts:
            if host != "*":
                ipaddress.ip_address(host)
        if self.advertised:
            ipaddress.ip_address(self.advertised)
        for codec in self.codecs:
            if codec not in CODECS:
                raise ValueError(f"codecs: {codec!r} is none of {', '.join(CODECS)}")
        if not self.codecs:
            raise ValueError("codecs: name at least one")
        if (self.first_port, self.last_port) != (0, 0) and not 1024 <= self.first_port <= self.last_port:
            raise ValueError("first_port, last_port: give both, 1024 or more and in order, or neither")
        if self.last_port > 65535:
            raise ValueError("last_port: must be 65535 or less")
        _span("bitrate", self.bitrate, 8_000, 128_000)
        _span("complexity", self.complexity, 0, 10)
        _span("least_buffer_ms", self.least_buffer_ms, 10, 120)
        _span("most_buffer_ms", self.most_buffer_ms, self.least_buffer_ms, 500)
        _span("connect_seconds", self.connect_seconds, 1, 60)
        _span("vanish_seconds", self.vanish_seconds, 2, 15)
        _span("half_open", self.half_open, 1, 1_000)


def _span(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name}: must lie between {least} and {most}")
