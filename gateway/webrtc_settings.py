"""Browsers that call: who may, from which pages, and what they are told of ICE servers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gateway.secret import Secret
from media.legs.webrtc_settings import WebRtcSettings

_ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]+", re.IGNORECASE)
_SERVER = re.compile(r"(stuns?:[^?\s]+|turns?:[^?\s]+(\?transport=(udp|tcp))?)")
TRUNK = "webrtc"
"""What dialplans know calls from pages by; no SIP trunk may have this name."""
LONGEST_TOKEN = 600.0
"""Seconds that a call token may live."""


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server that browsers are told of (RFC 9725 section 4.4)."""

    urls: tuple[str, ...]
    """Such as `stun:stun.example.net:3478`, `turn:turn.example.net?transport=tcp`."""
    user: str = ""
    """Of a TURN server with credentials that last."""
    password: Secret = Secret()
    """Password of `user`."""
    secret: Secret = Secret()
    """coturn's `static-auth-secret`: each call is given credentials of its own that soon expire, in place of
    `user` and `password`."""
    lifetime_seconds: float = 3_600.0
    """60 to 86,400: how long such credentials are good; a call that lives longer keeps its relay."""

    def __post_init__(self) -> None:
        if not self.urls:
            raise ValueError("urls: name at least one")
        for url in self.urls:
            if not _SERVER.fullmatch(url):
                raise ValueError(f"urls: {url!r} is no stun:, stuns:, turn: or turns: address")
        if not 60 <= self.lifetime_seconds <= 86_400:
            raise ValueError("lifetime_seconds: must lie between 60 and 86400")


@dataclass(frozen=True, slots=True)
class WebRtcSection:
    """Calls from web pages. Served on the API's port; the sound takes UDP ports of its own."""

    enabled: bool = True
    """Take calls from browsers. Off, none of its addresses exist."""
    origins: tuple[str, ...] = ()
    """Pages that may call, by their origin (`https://www.example.net`), beside those this node serves itself;
    `*` for any. Programs that are no browser name no origin and need none."""
    token_secret: Secret = Secret()
    """Signs call tokens, 32 characters or more, the same on every node that shall take them; made anew at
    each start when empty."""
    per_address: int = 30
    """1 to 10,000: calls that one address may begin in a minute. A proxy on another machine is one address:
    raise it there."""
    ice_servers: tuple[IceServer, ...] = ()
    """STUN and TURN servers that browsers are told of."""
    media: WebRtcSettings = field(default_factory=WebRtcSettings)
    """Sockets, codecs, buffers, deadlines."""

    def __post_init__(self) -> None:
        for origin in self.origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(f"origins: {origin!r} must be like https://www.example.net, without a path")
        if self.token_secret and len(self.token_secret.reveal()) < 32:
            raise ValueError("token_secret: must have 32 characters or more")
        if not 1 <= self.per_address <= 10_000:
            raise ValueError("per_address: must lie between 1 and 10000")
