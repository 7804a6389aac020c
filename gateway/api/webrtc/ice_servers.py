"""What browsers are told of STUN and TURN servers, in WHIP's and in the page's form. Pure."""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Sequence
from typing import Any

from gateway.webrtc_settings import IceServer


def for_page(servers: Sequence[IceServer], wall: float) -> list[dict[str, Any]]:
    """As `RTCPeerConnection` takes them (`RTCConfiguration.iceServers`)."""
    told = []
    for server in servers:
        entry: dict[str, Any] = {"urls": list(server.urls)}
        user, password = credentials(server, wall)
        if user:
            entry |= {"username": user, "credential": password}
        told.append(entry)
    return told


def for_link(servers: Sequence[IceServer], wall: float) -> str:
    """As the `Link` header of a WHIP answer holds them (RFC 9725 section 4.4); "" for none."""
    links = []
    for server in servers:
        user, password = credentials(server, wall)
        proof = f'; username="{user}"; credential="{password}"; credential-type="password"' if user else ""
        links += [f'<{url}>; rel="ice-server"{proof}' for url in server.urls]
    return ", ".join(links)


def credentials(server: IceServer, wall: float) -> tuple[str, str]:
    """User and password for one browser; "" where it needs none.

    With a shared secret, those of coturn's REST scheme (draft-uberti-behave-turn-rest-00): the user is the
    moment of expiry and a name, the password its HMAC-SHA1.
    """
    if not server.secret:
        return server.user, server.password.reveal()
    user = f"{int(wall + server.lifetime_seconds)}:{secrets.token_hex(6)}"
    digest = hmac.digest(server.secret.reveal().encode(), user.encode(), "sha1")
    return user, base64.b64encode(digest).decode()
